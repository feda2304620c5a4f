#include "launcher/job/data_text.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.hpp"
#include "datasets/summary.hpp"
#include "datasets/tokenize.hpp"
#include "datasets/tokenizer_training.hpp"
#include "launcher/job/data_target.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

using TextWords = std::span<const std::string>;

const Operands texts{
    .words = "TEXT...",
    .description = "files or folders of text, plain or gzip-compressed; .jsonl and .ndjson are JSON lines",
    .count = 1,
    .more = Operands::More::taken};

void declare_input(OptionGroup& options, TextInput& input, std::int64_t& threads) {
  options
      .add("format", &input.format, "of the files: by-name, text or jsonl",
           {{"by-name", TextFormat::by_name}, {"text", TextFormat::text}, {"jsonl", TextFormat::json_lines}})
      .add("field", &input.field, "of a JSON line: the name of its text")
      .add("documents", &input.unit, "what a document of a plain text is",
           {{"file", DocumentUnit::file}, {"line", DocumentUnit::line}})
      .add("threads", &threads, "threads that work; the result does not depend on them", {.low = 1, .high = 1024});
}

std::vector<std::string> special_tokens(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end == begin) fail(ExitCode::usage, "--special has an empty name in '{}'", text);
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

int tokenize_command(TextWords args) {
  constexpr const char* name = "trireme data tokenize";
  TokenizeOptions tokens;
  auto seed = static_cast<std::int64_t>(tokens.seed);
  std::int64_t shard_mib = tokens.shard_bytes >> 20;
  bool overwrite = false;
  CommandLine line({.name = name,
                    .summary = "makes a token set of texts",
                    .examples = {"trireme data tokenize books/ --tokenizer gpt2/ --out data/books --validation 0.01",
                                 "trireme data tokenize web.jsonl.gz --field text --tokenizer my.json --out data/web"}},
                   texts);
  line.options()
      .add("tokenizer", &tokens.tokenizer,
           "tokenizer.json, or a folder with it or with GPT-2's two files; must be given")
      .add("out", &tokens.out, "folder of the token set; appears whole or not at all; must be given")
      .add("name", &tokens.name, "name of the token set; empty: the folder's name")
      .add("end-of-text", &tokens.end_of_text,
           "special token behind each document; auto: the one the tokenizer has; none")
      .add("validation", &tokens.validation, "part that becomes the split \"validation\"", {.low = 0, .high = 0.999})
      .add("held-out", &tokens.held_out, "which part: random documents, or the tail of the text",
           {{"documents", HeldOut::documents}, {"tail", HeldOut::tail}})
      .add("seed", &seed, "chooses other documents for validation", {.low = 0})
      .add("shard-mib", &shard_mib, "size of a shard; documents are not divided", {.low = 1, .high = 1 << 20})
      .add("overwrite", &overwrite, "replace a token set that exists");
  declare_input(line.options(), tokens.input, tokens.threads);
  const auto words = line.parse(args);
  if (!words) return 0;
  needed(name, "tokenizer", tokens.tokenizer);
  needed(name, "out", tokens.out);
  tokens.input.paths = *words;
  tokens.seed = static_cast<std::uint64_t>(seed);
  tokens.shard_bytes = shard_mib << 20;
  tokens.existing = overwrite ? Existing::replace : Existing::refuse;
  tokenize(tokens);
  print_out(describe(Dataset::open(tokens.out)));
  return 0;
}

int train_tokenizer_command(TextWords args) {
  constexpr const char* name = "trireme data train-tokenizer";
  using Kind = TokenizerModel::Kind;
  TokenizerTraining training;
  std::string out, special = training.special.front();
  CommandLine line({.name = name,
                    .summary = "makes a tokenizer from texts; the same for any number of threads",
                    .examples = {"trireme data train-tokenizer books/ --vocabulary 32768 --out tokenizer.json",
                                 "trireme data train-tokenizer input.txt --kind characters --out letters.json"}},
                   texts);
  line.options()
      .add("out", &out, "the file (.json), or a folder for tokenizer.json; must be given")
      .add("kind", &training.kind, "byte-pairs, or one token for each character",
           {{"byte-pairs", Kind::byte_pairs}, {"characters", Kind::characters}})
      .add("vocabulary", &training.vocabulary, "tokens, of byte pairs", {.low = 256, .high = 1 << 24})
      .add("special", &special, "special tokens A,B,C; they get the last ids; empty: none")
      .add("pattern", &training.pattern, "how text is cut into words, of byte pairs",
           {{"gpt2", WordPattern::gpt2}, {"gpt4", WordPattern::gpt4}})
      .add("minimum-count", &training.minimum_count, "pairs seen less often do not join", {.low = 1});
  declare_input(line.options(), training.input, training.threads);
  const auto words = line.parse(args);
  if (!words) return 0;
  needed(name, "out", out);
  training.input.paths = *words;
  training.special = special_tokens(special);
  const Tokenizer tokenizer = train_tokenizer(training);
  tokenizer.save(out);
  print_out(fmt::format("{}: {}, vocabulary {}, checksum {}\n", out, tokenizer.kind(), tokenizer.vocabulary(),
                        tokenizer.hash().hex()));
  return 0;
}

}  // namespace trireme
