// Two types of one name in one namespace are one to the linker: it takes the functions of either for both. So names of
// types at the level of a named namespace are those of one file, and headers have no namespace without a name.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "tests/tree/source_text.hpp"

namespace trireme::tree {
namespace {

/// Where types stand, by namespace and name. Lines without indentation open and close namespaces, and clang-format says
/// behind the brace what it closes.
std::map<std::string, std::set<std::string>> types_of(const std::vector<SourceFile>& files) {
  static const std::regex opens("^namespace ([\\w:]*) ?\\{.*"), closes("^\\}\\s+// namespace.*");
  static const std::regex defines("^(?:struct|class|enum class|union) (\\w+)(?: final)?(?: : .*)? ?\\{.*");
  std::map<std::string, std::set<std::string>> found;
  for (const SourceFile& file : files) {
    std::vector<std::string> inside;
    const std::vector<std::string> written = lines_of(file.text), code = lines_of(blanked(file.text));
    for (std::size_t k = 0; k < written.size(); ++k) {
      std::smatch match;
      if (std::regex_match(code[k], match, opens)) {
        inside.push_back(match[1]);
      } else if (std::regex_match(written[k], closes) && !inside.empty()) {
        inside.pop_back();
      } else if (std::regex_match(code[k], match, defines)) {
        std::string space;
        for (const std::string& one : inside) space += one.empty() ? "?" : one + "::";
        if (space.find('?') == std::string::npos) found[space + match[1].str()].insert(file.path);
      }
    }
  }
  return found;
}

std::string doubled(const std::vector<SourceFile>& files) {
  std::string out;
  for (const auto& [name, paths] : types_of(files)) {
    if (paths.size() < 2) continue;
    out += name + ":";
    for (const std::string& path : paths) out += " " + path;
    out += "\n";
  }
  return out;
}

TEST(Names, TypesOfANamespaceAreThoseOfOneFile) {
  EXPECT_EQ(doubled(source_files(TRIREME_SOURCE_DIR, {".cpp", ".hpp", ".cuh"})), "");
}

TEST(Names, ADoubledTypeIsFound) {
  const SourceFile one{
      "a.hpp", "namespace trireme {\nstruct Value {\n  int a;\n};\nstruct Other {\n};\n}  // namespace trireme\n"};
  const SourceFile two{"b.cpp",
                       "namespace trireme {\nnamespace {\nstruct Other {\n};\n}  // namespace\nclass Value final : A "
                       "{\n};\n}  // namespace trireme\n"};
  const SourceFile three{"c.cpp", "namespace trireme::deep {\nstruct Value {\n};\n}  // namespace trireme::deep\n"};
  EXPECT_EQ(doubled({one, two, three}), "trireme::Value: a.hpp b.cpp\n");
}

}  // namespace
}  // namespace trireme::tree
