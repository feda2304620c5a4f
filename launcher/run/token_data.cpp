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

std::string first_folder(const std::string& data) { return data.substr(0, data.find_first_of(",=")); }

}  // namespace

TokenData::TokenData(const TokenDataOptions& options) : tokenizer(Tokenizer::load(first_folder(options.data))) {
  SampleRequest request{.data = options.data, .windows = {.context = options.context}};
  if (options.documents == TokenDataOptions::Documents::apart) {
    request.windows.documents = TokenWindowOptions::Documents::apart;
    request.windows.starts = TokenWindowOptions::Starts::with;
  }
  train = open_samples(request);
  request.split = "validation";
  if (Dataset::open(first_folder(options.data)).has_split(request.split)) validation = open_samples(request);
}

}  // namespace trireme
