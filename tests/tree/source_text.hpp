// What the checks of the tree share: the list of source files, and a lexer that blanks comments and the inside of
// strings, so that a check sees code only. Line numbers stay those of the file.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::tree {

struct SourceFile {
  std::string path;  // from the root, with '/'
  std::string text;
};

struct Violation {
  std::string path;
  int line;
  std::string what;
};

inline std::string to_text(const std::vector<Violation>& violations) {
  std::ostringstream out;
  for (const auto& v : violations) out << v.path << ':' << v.line << ": " << v.what << '\n';
  return out.str();
}

inline bool starts_with_any(std::string_view text, const std::vector<std::string>& prefixes) {
  for (const auto& prefix : prefixes) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

inline bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
inline bool is_cpp(const std::string& path) { return path.ends_with(".cpp") || path.ends_with(".hpp"); }

/// The lines of `text` without their newlines.
inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Blanks comments, and what strings, characters and raw strings hold, in C++ text; newlines stay. The name between
/// the quotes of an #include stays too.
class Blanker {
 public:
  explicit Blanker(std::string text) : text_(std::move(text)) {}

  std::string run() {
    while (at_ < text_.size()) step();
    return std::move(text_);
  }

 private:
  void step() {
    const std::string_view rest = std::string_view(text_).substr(at_);
    if (rest.starts_with("//")) {
      blank_until(text_.find('\n', at_), 0);
    } else if (rest.starts_with("/*")) {
      blank_until(text_.find("*/", at_ + 2), 2);
    } else if (rest.front() == '"') {
      string();
    } else if (rest.front() == '\'' && (at_ == 0 || !is_digit_separator())) {
      quoted('\'');
    } else {
      ++at_;
    }
  }

  bool is_digit_separator() const {
    std::size_t start = at_;
    while (start > 0 && (is_word_char(text_[start - 1]) || text_[start - 1] == '\'')) --start;
    return start < at_ && std::isdigit(static_cast<unsigned char>(text_[start])) != 0;
  }

  void string() {
    const std::size_t line = text_.rfind('\n', at_) + 1;  // npos + 1 is 0: the first line
    const std::size_t first = text_.find_first_not_of(" \t", line);
    if (text_.compare(first, 8, "#include") == 0) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (at_ > 0 && text_[at_ - 1] == 'R') {
      const std::size_t open = text_.find('(', at_);
      if (open == std::string::npos) throw std::runtime_error("a raw string without its parenthesis");
      const std::string close = ")" + text_.substr(at_ + 1, open - at_ - 1) + "\"";
      ++at_;
      blank_until(text_.find(close, open), close.size() - 1);
      ++at_;
    } else {
      quoted('"');
    }
  }

  void quoted(char end) {
    for (++at_; at_ < text_.size() && text_[at_] != end && text_[at_] != '\n'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') text_[at_++] = ' ';
      text_[at_] = ' ';
    }
    ++at_;
  }

  void blank_until(std::size_t end, std::size_t closing) {
    const std::size_t stop = end == std::string::npos ? text_.size() : end + closing;
    for (; at_ < stop; ++at_) {
      if (text_[at_] != '\n') text_[at_] = ' ';
    }
  }

  std::string text_;
  std::size_t at_ = 0;
};

inline std::string blanked(const std::string& text) { return Blanker(text).run(); }

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// All regular files under the source folders whose names end in one of `endings`, in path order. Hidden folders and
/// build trees are left out.
inline std::vector<SourceFile> source_files(const std::filesystem::path& root,
                                            const std::vector<std::string>& endings) {
  std::vector<SourceFile> files;
  for (const char* folder : {"cluster", "comm", "core", "datasets", "docs", "examples", "launcher", "tests"}) {
    if (!std::filesystem::is_directory(root / folder)) continue;
    std::filesystem::recursive_directory_iterator it(root / folder), end;
    for (; it != end; ++it) {
      const std::string name = it->path().filename().string();
      if (it->is_directory() && (name.starts_with(".") || name.starts_with("build"))) it.disable_recursion_pending();
      if (!it->is_regular_file()) continue;
      for (const auto& ending : endings) {
        if (!name.ends_with(ending)) continue;
        files.push_back({std::filesystem::relative(it->path(), root).generic_string(), read_text(it->path())});
        break;
      }
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace trireme::tree
