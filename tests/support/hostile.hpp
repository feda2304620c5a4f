// Names, paths and arguments from hell, for everything that hands words on: what shells, sbatch and format strings look
// at, put together at random.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace trireme {

/// How many a test tries: `usual`, or what a long run asks for.
inline int hostile_cases(int usual) {
  const char* wanted = std::getenv("TRIREME_HOSTILE_CASES");
  return wanted != nullptr ? std::atoi(wanted) : usual;
}

class Hostile {
 public:
  Hostile(std::uint32_t seed, std::string canary) : random_(seed), canary_(std::move(canary)) {}

  std::size_t below(std::size_t end) { return random_() % end; }

  /// At most `pieces` pieces of what shells, sbatch and format strings look at; `path` is of a canary it would touch.
  std::string text(std::size_t pieces = 6) {
    const std::vector<std::string> all = {" ",
                                          "'",
                                          "\"",
                                          "\\",
                                          "`touch " + canary_ + "`",
                                          "$(touch " + canary_ + ")",
                                          ";touch " + canary_ + ";",
                                          "|",
                                          "&",
                                          ">" + canary_,
                                          "<",
                                          "*",
                                          "?",
                                          "~",
                                          "!",
                                          "!!",
                                          "{a,b}",
                                          "[a]",
                                          "%j",
                                          "%s",
                                          "%n",
                                          "{}",
                                          "#",
                                          "-",
                                          "--",
                                          "-x",
                                          "=",
                                          "$HOME",
                                          "${IFS}",
                                          "\xc3\xa4",
                                          "\xe2\x82\xac",
                                          "a",
                                          "B7",
                                          ",",
                                          ":",
                                          "@",
                                          "(",
                                          ")",
                                          "^",
                                          "#SBATCH --wrap=x",
                                          "'\\''",
                                          "\\n",
                                          "$'\\n'"};
    std::string out;
    for (std::size_t n = below(pieces + 1); n > 0; --n) out += all[below(all.size())];
    return out;
  }
  /// As the name of a file.
  std::string name() {
    std::string out = text(4).substr(0, 90) + std::to_string(below(1000));
    for (char& c : out) c = c == '/' ? '_' : c;
    return out;
  }
  std::vector<std::string> words(std::size_t most = 4) {
    std::vector<std::string> out(below(most + 1));
    for (std::string& word : out) word = text();
    return out;
  }

 private:
  std::mt19937 random_;
  std::string canary_;
};

}  // namespace trireme
