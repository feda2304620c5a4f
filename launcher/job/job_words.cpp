#include "launcher/job/job_words.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* first_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
constexpr const char* digits = "0123456789";

/// Reads one word from `at` on, which stands on its first letter; the place behind it, or npos where a quote is open.
std::size_t read_word(const std::string& text, std::size_t at, std::string& word) {
  char quote = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quote == 0 && c == ' ') return at;
    const bool escapes = c == '\\' && quote != '\'' && at + 1 < text.size() &&
                         (quote == 0 || text[at + 1] == '"' || text[at + 1] == '\\');
    if (escapes) {
      word += text[++at];
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      word += c;
    }
  }
  return quote == 0 ? at : std::string::npos;
}

}  // namespace

std::vector<std::string> split_words(const std::string& text, const std::string& key) {
  std::vector<std::string> words;
  for (std::size_t at = text.find_first_not_of(' '); at != std::string::npos; at = text.find_first_not_of(' ', at)) {
    std::string word;
    at = read_word(text, at, word);
    if (at == std::string::npos) {
      fail(ExitCode::usage, "{}: a quote in '{}' never ends; close it, or write \\\" for the letter", key,
           harmless(text));
    }
    words.push_back(std::move(word));
    if (at >= text.size()) break;
  }
  return words;
}

std::string join_words(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    if (!word.empty() && word.find_first_of(" '\"\\") == std::string::npos) {
      out += word;
      continue;
    }
    out += '"';
    for (const char c : word) out += (c == '"' || c == '\\') ? std::string("\\") + c : std::string(1, c);
    out += '"';
  }
  return out;
}

namespace {

/// "", "\", "\\", ... before the colon at the end.
bool is_lone_colon(const std::string& word) {
  return word.ends_with(':') && word.find_first_not_of('\\') == word.size() - 1;
}

}  // namespace

std::vector<std::string> with_hidden_colons(std::vector<std::string> words) {
  for (std::string& word : words) {
    if (is_lone_colon(word)) word.insert(0, 1, '\\');
  }
  return words;
}

std::vector<std::string> with_shown_colons(std::vector<std::string> words) {
  for (std::string& word : words) {
    if (is_lone_colon(word) && word.size() > 1) word.erase(0, 1);
  }
  return words;
}

bool has_control_characters(const std::string& text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
}

bool is_variable_name(const std::string& text) {
  return !text.empty() && text.find_first_of(first_letters) == 0 &&
         text.find_first_not_of(std::string(first_letters) + digits) == std::string::npos;
}

}  // namespace trireme
