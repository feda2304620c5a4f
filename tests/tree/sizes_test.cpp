// How long things may be: files 500 lines, examples 120, functions 50. A scanner of braces finds the functions.
#include <gtest/gtest.h>

#include "tests/tree/function_scanner.hpp"
#include "tests/tree/source_text.hpp"

namespace trireme::tree {
namespace {

constexpr int file_limit = 500;
constexpr int example_limit = 120;
constexpr int function_limit = 50;
constexpr int argument_limit = 4;

int line_count(const SourceFile& file) { return static_cast<int>(lines_of(file.text).size()); }

std::vector<Violation> check_files(const std::vector<SourceFile>& files) {
  std::vector<Violation> found;
  for (const auto& file : files) {
    const bool example = file.path.starts_with("examples/") && is_cpp(file.path);
    const int limit = example ? example_limit : file_limit;
    const int lines = line_count(file);
    if (lines <= limit) continue;
    found.push_back({file.path, lines, "has " + std::to_string(lines) + " lines, more than " + std::to_string(limit)});
  }
  return found;
}

std::vector<Violation> check_functions(const std::vector<SourceFile>& files) {
  std::vector<Violation> found;
  for (const auto& file : files) {
    for (const auto& function : functions_of(file.text)) {
      if (function.lines() <= function_limit) continue;
      found.push_back({file.path, function.first_line,
                       function.name + " has " + std::to_string(function.lines()) + " lines, more than " +
                           std::to_string(function_limit)});
    }
  }
  return found;
}

std::vector<Violation> check_arguments(const std::vector<SourceFile>& files) {
  std::vector<Violation> found;
  for (const auto& file : files) {
    for (const auto& function : functions_of(file.text)) {
      if (function.arguments <= argument_limit) continue;
      found.push_back({file.path, function.first_line,
                       function.name + " takes " + std::to_string(function.arguments) + " arguments, more than " +
                           std::to_string(argument_limit) + ": make them a struct"});
    }
  }
  return found;
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::vector<SourceFile> measured_sources() { return source_files(TRIREME_SOURCE_DIR, {".cpp", ".hpp", ".cuh"}); }

TEST(Sizes, FilesAreShort) {
  const auto files =
      source_files(TRIREME_SOURCE_DIR, {".cpp", ".hpp", ".cuh", ".sh", ".py", ".cmake", "CMakeLists.txt"});
  ASSERT_GT(files.size(), 10U) << "the sources were not found under " << TRIREME_SOURCE_DIR;
  EXPECT_EQ(to_text(check_files(files)), "");
}

TEST(Sizes, FunctionsAreShort) {
  const auto files = measured_sources();
  std::size_t functions = 0;
  for (const auto& file : files) functions += functions_of(file.text).size();
  EXPECT_GT(functions, files.size()) << "the scanner has gone blind: it finds fewer functions than files";
  EXPECT_EQ(to_text(check_functions(files)), "");
}

TEST(Sizes, FunctionsTakeFewArguments) { EXPECT_EQ(to_text(check_arguments(measured_sources())), ""); }

TEST(Sizes, PlantedLongFilesAreFound) {
  EXPECT_EQ(check_files({{"core/a.cpp", repeated("int x;\n", 500)}}).size(), 0U);
  EXPECT_EQ(check_files({{"core/a.cpp", repeated("int x;\n", 501)}}).size(), 1U);
  EXPECT_EQ(check_files({{"examples/a/main.cpp", repeated("int x;\n", 120)}}).size(), 0U);
  EXPECT_EQ(check_files({{"examples/a/main.cpp", repeated("int x;\n", 121)}}).size(), 1U);
}

// What a function may look like; BODY stands for as many lines as a test wants.
const std::vector<std::string> function_forms = {
    "void f() {BODY}",
    "namespace a::b {\nvoid f() {BODY}\n}",
    "namespace {\nclass C : public B<int> {\n public:\n  int f(int a = 1) const override {BODY}\n};\n}",
    "struct S {\n  explicit S(int a) : a_{a}, b_(a), c_{{1, 2}} {BODY}\n  int a_{3};\n};",
    "template <class T = int, int N = (3 > 2)>\nauto f(T t) -> std::vector<T> {BODY}",
    "bool operator==(const A& a, const A& b) {BODY}",
    "A& A::operator=(A&& other) noexcept {BODY}",
    "const auto f = [](int a) {BODY};",
    "TEST(A, B) {BODY}",
    "extern \"C\" {\nint f(struct stat* s) {BODY}\n}",
    "const char* brace = \"{\";  // }}}\nvoid f() { char c = '{'; long n = 1'000; auto s = R\"(}}} \" {)\";BODY}",
    "#define OPEN {  \\\n  {\nint v[] = {1, 2};\nenum class E { a, b };\nvoid f() {\n  if (x) { y({1}); } else { z(); "
    "}BODY}",
};

std::string with_body(std::string form, int lines) {
  const std::string mark = "BODY";
  const std::size_t at = form.find(mark);
  return form.replace(at, mark.size(), repeated("\n  g([&] { return B{1}; });", lines - 2) + "\n");
}

TEST(Sizes, PlantedLongFunctionsAreFound) {
  for (const auto& form : function_forms) {
    // Two forms have a line more between the function's first line and BODY.
    const bool two_lines = form.starts_with("template") || form.find("if (x)") != std::string::npos;
    const int limit = function_limit - (two_lines ? 1 : 0);
    EXPECT_EQ(to_text(check_functions({{"core/a.cpp", with_body(form, limit)}})), "") << form;
    EXPECT_EQ(check_functions({{"core/a.cpp", with_body(form, limit + 1)}}).size(), 1U) << form;
  }
}

TEST(Sizes, PlantedArgumentsAreFound) {
  const auto count = [](const std::string& text) { return functions_of(text).at(0).arguments; };
  EXPECT_EQ(count("void f() {}\n"), 0);
  EXPECT_EQ(count("void f(std::map<int, int> a, std::pair<int, int> b = {1, 2}) {}\n"), 2);
  EXPECT_EQ(
      count("template <class A, class B>\nint S::operator()(A a, B b, const std::function<void(int, int)>& c) {}\n"),
      3);
  EXPECT_EQ(count("S::S(int a, int b) : S(a, b, 1, 2, 3), c_{a, b} {}\n"), 2);
  EXPECT_EQ(check_arguments({{"core/a.cpp", "void f(int a, int b, int c, int d) {}\n"}}).size(), 0U);
  EXPECT_EQ(check_arguments({{"core/a.cpp", "void f(int a, int b, int c, int d, int e) {}\n"}}).size(), 1U);
}

TEST(Sizes, LongThingsThatAreNotFunctionsPass) {
  const std::string line = "  {\"name\", {1, 2}},\n";
  EXPECT_EQ(
      to_text(check_functions({{"core/a.cpp", "const std::map<A, B> table = {\n" + repeated(line, 60) + "};\n"}})), "");
  const std::string class_text = "struct S {\n" + repeated("  int f() const { return 1; }\n", 60) + "};\n";
  EXPECT_EQ(to_text(check_functions({{"core/a.cpp", class_text}})), "");
  EXPECT_EQ(functions_of(class_text).size(), 60U);
}

}  // namespace
}  // namespace trireme::tree
