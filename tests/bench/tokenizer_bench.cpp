// How fast a text becomes ids, in one thread: the first time, and when the words are known.
//   tokenizer_bench TOKENIZER TEXT   a file that Tokenizer::load() takes, and one of text whose lines are documents
#include <string_view>

#include "core/io/file.hpp"
#include "datasets/tokenizer.hpp"
#include "tests/bench/bench.hpp"

namespace trireme::bench {
namespace {

constexpr int rounds = 7;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

void run(const Tokenizer& tokenizer, const std::string& text) {
  const auto lines = lines_of(text);
  const auto megabytes = static_cast<double>(text.size()) / 1e6;
  std::vector<std::int32_t> ids;
  const auto encode = [&](TokenEncoder& encoder) {
    ids.clear();
    for (const auto line : lines) encoder.encode(line, ids);
  };
  const auto first = time_calls(rounds, [&] {
    TokenEncoder encoder(tokenizer);
    encode(encoder);
  });
  report("first", "MB/s", first.rate(megabytes));
  TokenEncoder encoder(tokenizer);
  report("again", "MB/s", time_calls(rounds, [&] { encode(encoder); }).rate(megabytes));
  const auto count = static_cast<double>(ids.size());
  report("tokens", "tokens", {count, count, count});
}

}  // namespace
}  // namespace trireme::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "tokenizer_bench: wanted a tokenizer and a file of text\n");
    return 2;
  }
  trireme::bench::run(trireme::Tokenizer::load(argv[1]), trireme::read_file(argv[2]));
  return 0;
}
