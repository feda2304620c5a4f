#include "launcher/run/token_data.hpp"

#include "datasets/dataset.hpp"

namespace trireme {

void TokenDataOptions::declare(OptionGroup& group) {
  group.add("data", &data, "token set (trireme data tokenize), or several with their shares of the stream: DIR=3,DIR=1")
      .add("context", &context, "tokens of a training sequence", {.low = 1, .high = 1 << 24})
      .add("documents", &documents, "apart: attention stays inside documents; joined: it reaches into those before",
           {{"joined", Documents::joined}, {"apart", Documents::apart}});
}

namespace {

/// The tokenizer in the folder, which must be the one the tokens are of.
Tokenizer tokenizer_of(const std::string& folder) {
  Tokenizer tokenizer = Tokenizer::load(folder);
  const auto tokens = Dataset::open(folder).split("train")->tokens();
  if (!tokens) fail(ExitCode::usage, "{} holds no tokens: make a token set by trireme data tokenize", folder);
  if (tokens->tokenizer_hash != tokenizer.hash().hex())
    fail(ExitCode::corrupt_input, "{}: the tokenizer in the folder is not the one the tokens were made with", folder);
  return tokenizer;
}

}  // namespace

TokenData::TokenData(const TokenDataOptions& options) : tokenizer(tokenizer_of(folders_in(options.data).front())) {
  SampleRequest request{.data = options.data, .windows = {.context = options.context}};
  if (options.documents == TokenDataOptions::Documents::apart) {
    request.windows.documents = options.documents;
    request.windows.starts = TokenWindowOptions::Starts::with;
  }
  train = open_samples(request);
  request.split = "validation";
  request.missing = SampleRequest::Missing::pass_over;
  validation = open_samples(request);
}

}  // namespace trireme
