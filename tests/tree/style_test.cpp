// What every source file has in common: a paragraph on top that says what it is for, no tabs, no loose ends, snake_case
// names; headers are included once and their functions take no bare bool; links between pages lead somewhere.
#include <gtest/gtest.h>

#include <regex>

#include "tests/tree/source_text.hpp"

namespace trireme::tree {
namespace {

bool is_script(const std::string& path) { return path.ends_with(".sh") || path.ends_with(".py"); }
bool is_header(const std::string& path) { return path.ends_with(".hpp") || path.ends_with(".cuh"); }

// Split, so that this file does not find itself.
const std::regex loose_end(
    "\\b(TO"
    "DO|FIX"
    "ME|X"
    "XX)\\b");

std::vector<Violation> check_lines(const std::vector<SourceFile>& files) {
  std::vector<Violation> found;
  for (const auto& file : files) {
    int line = 0;
    for (const auto& text : lines_of(file.text)) {
      ++line;
      if (text.find('\t') != std::string::npos) found.push_back({file.path, line, "a tab"});
      if (text.ends_with('\r')) found.push_back({file.path, line, "a carriage return"});
      if (std::regex_search(text, loose_end)) found.push_back({file.path, line, "a loose end: do it or file an issue"});
    }
    if (!file.text.empty() && file.text.back() != '\n') found.push_back({file.path, line, "no newline at the end"});
  }
  return found;
}

// A source that begins with its own header has its paragraph there.
bool begins_with_own_header(const SourceFile& file, const std::string& first_line) {
  const std::string stem = file.path.substr(0, file.path.rfind('.'));
  return file.path.ends_with(".cpp") && first_line == "#include \"" + stem + ".hpp\"";
}

std::string top_problem(const SourceFile& file) {
  auto lines = lines_of(file.text);
  if (is_script(file.path) && !lines.empty() && lines[0].starts_with("#!")) lines.erase(lines.begin());
  const bool hash = !is_cpp(file.path) && !is_header(file.path);
  if (!lines.empty()) {
    if (lines[0].starts_with(hash ? "# " : "// ") || begins_with_own_header(file, lines[0])) return "";
    if (file.path.ends_with(".py") && lines[0].starts_with("\"\"\"")) return "";
  }
  return "does not begin with a paragraph that says what the file is for";
}

std::vector<Violation> check_tops(const std::vector<SourceFile>& files) {
  static const std::regex name_form(R"([a-z0-9_]+\.(cpp|hpp|cuh|sh|py))");
  std::vector<Violation> found;
  for (const auto& file : files) {
    if (file.path.ends_with("CMakeLists.txt")) continue;
    const std::string problem = top_problem(file);
    if (!problem.empty()) found.push_back({file.path, 1, problem});
    if (is_header(file.path) && file.text.find("\n#pragma once\n") == std::string::npos) {
      found.push_back({file.path, 1, "a header without #pragma once"});
    }
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if ((is_cpp(name) || is_script(name)) && !std::regex_match(name, name_form)) {
      found.push_back({file.path, 1, "its name is not snake_case"});
    }
  }
  return found;
}

/// A call with `true` says nothing to its reader. What is checked or selected by may be a bool `ok` or `condition`, so
/// may a template argument; private functions are their class' own business.
std::vector<Violation> check_bools(const std::vector<SourceFile>& files) {
  static const std::regex parameter(R"([(,]\s*(const\s+)?bool\s*&?\s+(\w+)\s*(=|,|\)))");
  static const std::regex template_prefix(R"(template\s*<[^>]*>)");
  static const std::regex opened(R"(^\s*(public|protected):|^(class\b|struct\b|\};|template\b))");
  std::vector<Violation> found;
  for (const auto& file : files) {
    if (!is_header(file.path) || file.path.starts_with("tests/")) continue;
    int line = 0;
    bool is_private = false;
    for (const auto& text : lines_of(blanked(file.text))) {
      ++line;
      if (std::regex_search(text, opened)) is_private = false;
      if (text.find("private:") != std::string::npos) is_private = true;
      const std::string bare = std::regex_replace(text, template_prefix, "");
      std::smatch match;
      if (is_private || !std::regex_search(bare, match, parameter) || match[2] == "ok" || match[2] == "condition")
        continue;
      found.push_back({file.path, line, "the parameter '" + match[2].str() + "' is a bool: make it an enum class"});
    }
  }
  return found;
}

/// Links to files of the repository, outside of code blocks. `exists` is asked with paths from the root.
template <class Exists>
std::vector<Violation> check_links(const std::vector<SourceFile>& pages, const Exists& exists) {
  static const std::regex link(R"(\]\(\s*<?([^)\s>]+)>?[^)]*\))");
  std::vector<Violation> found;
  for (const auto& page : pages) {
    int line = 0;
    bool code = false;
    for (const auto& text : lines_of(page.text)) {
      ++line;
      if (text.starts_with("```")) code = !code;
      if (code) continue;
      for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
        const std::string target = (*it)[1].str().substr(0, (*it)[1].str().find('#'));
        if (target.empty() || target.find("://") != std::string::npos || target.starts_with("mailto:")) continue;
        const auto from = std::filesystem::path(page.path).parent_path();
        const std::string path = (from / target).lexically_normal().generic_string();
        if (path.starts_with("..") || path.starts_with("/") || !exists(path)) {
          found.push_back({page.path, line, "the link to " + target + " leads nowhere inside the repository"});
        }
      }
    }
  }
  return found;
}

std::vector<SourceFile> all_sources() {
  auto files = source_files(TRIREME_SOURCE_DIR, {".cpp", ".hpp", ".cuh", ".sh", ".py", ".cmake", "CMakeLists.txt"});
  EXPECT_GT(files.size(), 10U) << "the sources were not found under " << TRIREME_SOURCE_DIR;
  return files;
}

TEST(Style, LinesAreClean) { EXPECT_EQ(to_text(check_lines(all_sources())), ""); }
TEST(Style, FilesSayWhatTheyAreFor) { EXPECT_EQ(to_text(check_tops(all_sources())), ""); }
TEST(Style, NoBareBoolInHeaders) { EXPECT_EQ(to_text(check_bools(all_sources())), ""); }

TEST(Style, LinksLeadSomewhere) {
  const std::filesystem::path root = TRIREME_SOURCE_DIR;
  auto pages = source_files(root, {".md"});
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".md")) pages.push_back({name, read_text(entry.path())});
  }
  const auto exists = [&](const std::string& path) { return std::filesystem::exists(root / path); };
  EXPECT_EQ(to_text(check_links(pages, exists)), "");
}

TEST(Style, PlantedLinesAreFound) {
  EXPECT_EQ(check_lines({{"core/a.cpp", "// a\n\tint x;\n"}}).size(), 1U);
  EXPECT_EQ(check_lines({{"core/a.cpp", "// a\r\n"}}).size(), 1U);
  EXPECT_EQ(check_lines({{"core/a.cpp",
                          "// TO"
                          "DO: later\n"}})
                .size(),
            1U);
  EXPECT_EQ(check_lines({{"core/a.cpp", "// a"}}).size(), 1U);
  EXPECT_EQ(check_lines({{"core/a.cpp", "// a\nint x;\n"}}).size(), 0U);
}

TEST(Style, PlantedTopsAreFound) {
  EXPECT_EQ(check_tops({{"core/a.cpp", "#include <vector>\n"}}).size(), 1U);
  EXPECT_EQ(check_tops({{"core/a.cpp", ""}}).size(), 1U);
  EXPECT_EQ(check_tops({{"core/a.cpp", "#include \"core/b.hpp\"\n"}}).size(), 1U);
  EXPECT_EQ(check_tops({{"core/a.cpp", "#include \"core/a.hpp\"\n"}}).size(), 0U);
  EXPECT_EQ(check_tops({{"core/a.hpp", "// A.\nint x;\n"}}).size(), 1U);
  EXPECT_EQ(check_tops({{"core/TwoWords.cpp", "// A.\n"}}).size(), 1U);
  EXPECT_EQ(check_tops({{"cluster/a.sh", "#!/usr/bin/env bash\nset -e\n"}}).size(), 1U);
  EXPECT_EQ(check_tops({{"core/a.hpp", "// A.\n#pragma once\n"}, {"cluster/a.sh", "#!/bin/bash\n# A.\n"}}).size(), 0U);
}

TEST(Style, PlantedBoolsAreFound) {
  EXPECT_EQ(check_bools({{"core/a.hpp", "void f(int a, bool b);\n"}}).size(), 1U);
  EXPECT_EQ(check_bools({{"core/a.hpp", "void f(const bool fast = true);\n"}}).size(), 1U);
  EXPECT_EQ(check_bools({{"core/a.hpp", "class A {\n private:\n  void f(bool b);\n};\n"}}).size(), 0U);
  const std::string nested = "class A {\n private:\n  struct B {\n    int c;\n  };\n  void f(bool b);\n};\n";
  EXPECT_EQ(check_bools({{"core/a.hpp", nested}}).size(), 0U);
  EXPECT_EQ(check_bools({{"core/a.hpp", "class A {\n private:\n  int a;\n};\nvoid f(bool b);\n"}}).size(), 1U);
  EXPECT_EQ(check_bools({{"core/a.hpp", "void require(bool ok);\nbool f();\nstruct A { bool b; };\n"}}).size(), 0U);
  EXPECT_EQ(check_bools({{"core/a.hpp", "template <class T, bool fast, int n>\nvoid f();  // (bool b)\n"}}).size(), 0U);
}

TEST(Style, PlantedLinksAreFound) {
  const auto exists = [](const std::string& path) { return path == "docs/a.md" || path == "README.md"; };
  const std::string good =
      "[a](a.md#part) [r](../README.md) [w](https://example.org/x) [here](#part)\n```\n[x](no.md)\n```\n";
  EXPECT_EQ(to_text(check_links({{"docs/b.md", good}}, exists)), "");
  EXPECT_EQ(check_links({{"docs/b.md", "one [a](a.md) two [b](c.md)\n"}}, exists).size(), 1U);
  EXPECT_EQ(check_links({{"README.md", "![picture](docs/none.svg)\n"}}, exists).size(), 1U);
  EXPECT_EQ(check_links({{"README.md", "[up](../elsewhere.md)\n"}}, exists).size(), 1U);
}

}  // namespace
}  // namespace trireme::tree
