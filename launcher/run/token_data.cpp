#include "launcher/run/token_data.hpp"

#include <charconv>

namespace trireme {

void TokenDataOptions::declare(OptionGroup& group) {
  group
      .add("data", &data,
           "token set (trireme data tokenize), or several with their shares of the stream: FOLDER:3,FOLDER:1")
      .add("context", &context, "tokens of a training sequence", {.low = 1, .high = 1 << 24})
      .add("documents", &documents, "apart: attention stays inside documents; joined: it reaches into those before",
           {{"joined", Documents::joined}, {"apart", Documents::apart}});
}

namespace {

struct NamedWeight {
  std::string folder;
  double weight = 1;
};

NamedWeight parse_source(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text};
  NamedWeight out{text.substr(0, colon)};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, out.weight);
  if (error != std::errc() || rest != end) return {text};  // a folder with a colon in its name
  if (!(out.weight > 0)) fail(ExitCode::usage, "--data {}: the weight behind the colon must be above 0", text);
  return out;
}

std::vector<NamedWeight> parse_sources(const std::string& text) {
  std::vector<NamedWeight> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end == begin) fail(ExitCode::usage, "--data {}: a folder is missing between the commas", text);
    out.push_back(parse_source(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return out;
}

}  // namespace

TokenData::TokenData(const TokenDataOptions& options) {
  using Documents = TokenDataOptions::Documents;
  const bool apart = options.documents == Documents::apart;
  options_ = {.context = options.context,
              .documents = apart ? TokenWindowOptions::Documents::apart : TokenWindowOptions::Documents::joined,
              .starts = apart ? TokenWindowOptions::Starts::with : TokenWindowOptions::Starts::without};
  for (const NamedWeight& one : parse_sources(options.data)) {
    sources_.push_back({Dataset::open(one.folder), one.weight});
    const Tokenizer tokenizer = Tokenizer::load(one.folder);
    if (!tokenizer_) tokenizer_ = tokenizer;
    if (tokenizer.hash() != tokenizer_->hash())
      fail(ExitCode::usage, "--data: {} and {} were made with different tokenizers; tokenize them with the same one",
           sources_.front().set.folder(), one.folder);
  }
}

Samples TokenData::windows(const std::string& split) const {
  std::vector<Ingredient> out;
  for (const Source& source : sources_)
    if (source.set.has_split(split)) out.push_back({token_windows(source.set.split(split), options_), source.weight});
  if (out.empty()) return nullptr;
  return out.size() == 1 ? out.front().samples : mix(std::move(out));
}

}  // namespace trireme
