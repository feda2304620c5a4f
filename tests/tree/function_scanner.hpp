// Finds the functions of C++ text by its braces: namespaces and classes are looked into, initialisers are stepped over,
// and what is left with a parameter list is a function (a lambda at namespace level too). No parser: good for lengths.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "tests/tree/source_text.hpp"

namespace trireme::tree {

struct Function {
  std::string name;
  int first_line;
  int last_line;
  int arguments;
  int lines() const { return last_line - first_line + 1; }
};

/// Blanks preprocessor lines with their continuations: their braces need not match.
inline std::string without_directives(std::string code) {
  bool directive = false;
  for (std::size_t at = 0; at < code.size();) {
    const std::size_t end = std::min(code.find('\n', at), code.size());
    const std::size_t first = code.find_first_not_of(" \t", at);
    directive = directive || (first < end && code[first] == '#');
    const bool goes_on = end > at && code[end - 1] == '\\';
    if (directive) std::fill(code.begin() + static_cast<long>(at), code.begin() + static_cast<long>(end), ' ');
    directive = directive && goes_on;
    at = end + 1;
  }
  return code;
}

class FunctionScanner {
 public:
  explicit FunctionScanner(const std::string& text) : code_(without_directives(blanked(text))) {}

  std::vector<Function> run() {
    scope();
    return std::move(found_);
  }

 private:
  enum class Kind { transparent, initialiser, function };

  // Declarations of a namespace or class, up to its closing brace. A head is what stands before a brace.
  void scope() {
    std::size_t head = at_;
    while (at_ < code_.size() && code_[at_] != '}') {
      const char c = code_[at_];
      if (c == '{') {
        if (open_brace(head)) head = at_;
      } else {
        ++at_;
        if (c == ';' || (c == ':' && is_access(head))) head = at_;
      }
    }
    if (at_ < code_.size()) ++at_;
  }

  // Steps over a brace and what it holds; whether a declaration ended with it.
  bool open_brace(std::size_t head) {
    while (head < at_ && std::isspace(static_cast<unsigned char>(code_[head])) != 0) ++head;
    const std::string text = code_.substr(head, at_ - head);
    const Kind kind = kind_of(text);
    if (kind == Kind::transparent) {
      ++at_;
      scope();
      return true;
    }
    skip_braces();
    if (kind == Kind::initialiser) return false;
    found_.push_back({name_of(text), line_at(head), line_at(at_ - 1), arguments_of(text)});
    return true;
  }

  bool is_access(std::size_t head) const {
    static const std::regex access(R"(\s*(public|private|protected)\s*:)");
    return std::regex_match(code_.substr(head, at_ - head), access);
  }

  void skip_braces() {
    int depth = 0;
    for (; at_ < code_.size(); ++at_) {
      if (code_[at_] == '{') ++depth;
      if (code_[at_] == '}' && --depth == 0) break;
    }
    if (at_ < code_.size()) ++at_;
  }

  static Kind kind_of(const std::string& head) {
    static const std::regex space(R"(^(inline\s+)?namespace\b|^extern\s*$|^extern\s+"[^"]*"\s*$)");
    static const std::regex type(
        R"(^(typedef\s+|static\s+|constexpr\s+|inline\s+|export\s+)*(class|struct|union|enum)\b)");
    if (head.empty() || std::regex_search(head, space)) return Kind::transparent;
    const std::string bare = outer(without_template(head));
    // `struct stat f() {` is a function, `struct S : Base<decltype(x)> {` is not: its parentheses stand behind a colon.
    if (std::regex_search(bare, type)) {
      const std::size_t colon = bare.find(':');
      return bare.substr(0, colon).find('(') == std::string::npos || bare.find("alignas") != std::string::npos
                 ? Kind::transparent
                 : Kind::function;
    }
    const std::size_t equals = bare.find('=');
    if (equals != std::string::npos) {
      const std::size_t lambda = bare.find('[', equals);
      const bool is_lambda = lambda != std::string::npos && bare.find_first_not_of(" \n", equals + 1) == lambda;
      return is_lambda ? Kind::function : Kind::initialiser;
    }
    if (bare.find('(') == std::string::npos) return Kind::initialiser;
    return is_member_initialiser(bare) ? Kind::initialiser : Kind::function;
  }

  // `S(int a) : a_{`: behind the parameter list a single colon, and a name right before the brace.
  static bool is_member_initialiser(const std::string& bare) {
    const std::size_t last = bare.find_last_not_of(" \n");
    if (!is_word_char(bare[last]) && bare[last] != '>') return false;
    for (std::size_t at = bare.find(')'); at < last; ++at) {
      if (bare[at] != ':') continue;
      if (bare[at + 1] != ':') return true;
      ++at;
    }
    return false;
  }

  // Without `template <...>` prefixes and requires-clauses in front of a declaration.
  static std::string without_template(std::string head) {
    while (head.starts_with("template")) {
      std::size_t at = head.find('<');
      int depth = 0, parens = 0;
      for (; at < head.size(); ++at) {
        if (head[at] == '(') ++parens;
        if (head[at] == ')') --parens;
        if (parens > 0) continue;
        if (head[at] == '<') ++depth;
        if (head[at] == '>' && --depth == 0) break;
      }
      if (at >= head.size()) return head;
      head.erase(0, head.find_first_not_of(" \n", at + 1));
    }
    return head;
  }

  // Without what stands between parentheses or braces, and without the signs of an operator's name.
  static std::string outer(const std::string& head) {
    static const std::regex signs(R"(\boperator\s*[^\w\s(]+)");
    std::string out;
    int depth = 0;
    for (const char c : std::regex_replace(head, signs, "operator_sign")) {
      if (c == ')' || c == '}') --depth;
      if (depth == 0) out += c;
      if (c == '(' || c == '{') ++depth;
    }
    return out;
  }

  static std::string name_of(const std::string& head) {
    std::string name = without_template(head);
    name = name.substr(0, name.find('\n'));
    return name.size() > 80 ? name.substr(0, 80) + "..." : name;
  }

  // Commas of the first parameter list that no bracket of any kind holds, and one; `operator()` has an empty pair
  // first.
  static int arguments_of(const std::string& head) {
    static const std::regex call(R"(operator\s*\(\s*\))");
    const std::string text = std::regex_replace(without_template(head), call, "operator_call");
    const std::size_t open = text.find('(');
    if (open == std::string::npos) return 0;
    int depth = 0, commas = 0;
    bool empty = true;
    for (std::size_t at = open + 1; at < text.size(); ++at) {
      const char c = text[at];
      if (c == ')' && depth == 0) break;
      if (c == '(' || c == '[' || c == '{' || c == '<') ++depth;
      if (c == ')' || c == ']' || c == '}' || (c == '>' && text[at - 1] != '-')) --depth;
      if (c == ',' && depth == 0) ++commas;
      empty = empty && std::isspace(static_cast<unsigned char>(c)) != 0;
    }
    return empty ? 0 : commas + 1;
  }

  int line_at(std::size_t at) {
    return 1 + static_cast<int>(std::count(code_.begin(), code_.begin() + static_cast<long>(at), '\n'));
  }

  std::string code_;
  std::size_t at_ = 0;
  std::vector<Function> found_;
};

inline std::vector<Function> functions_of(const std::string& text) { return FunctionScanner(text).run(); }

}  // namespace trireme::tree
