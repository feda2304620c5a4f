#include "datasets/open_samples.hpp"

#include <charconv>
#include <optional>

#include "core/base/error.hpp"
#include "datasets/dataset.hpp"

namespace trireme {
namespace {

struct Share {
  std::string folder;
  double weight;
};

double weight_of(const std::string& text, const std::string& data) {
  double weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc{} || end != text.data() + text.size() || !(weight > 0)) {
    fail(ExitCode::usage, "the weight '{}' in '{}' is not a number above 0; a mix is written DIR=WEIGHT,DIR=WEIGHT",
         text, data);
  }
  return weight;
}

std::vector<Share> shares_of(const std::string& data) {
  std::vector<Share> out;
  if (data.find('=') == std::string::npos) return {{data, 1}};
  for (std::size_t begin = 0; begin <= data.size();) {
    const std::size_t end = std::min(data.find(',', begin), data.size());
    const std::string one = data.substr(begin, end - begin);
    const std::size_t sign = one.rfind('=');
    if (sign == 0 || sign == std::string::npos)
      fail(ExitCode::usage, "'{}' in '{}' is not a folder and its weight, DIR=WEIGHT", one, data);
    out.push_back({one.substr(0, sign), weight_of(one.substr(sign + 1), data)});
    begin = end + 1;
  }
  return out;
}

}  // namespace

std::vector<std::string> folders_in(const std::string& data) {
  std::vector<std::string> out;
  for (const Share& share : shares_of(data)) out.push_back(share.folder);
  return out;
}

Samples open_samples(const SampleRequest& request) {
  std::vector<Ingredient> ingredients;
  std::optional<std::string> tokenizer;
  for (const auto& [folder, weight] : shares_of(request.data)) {
    const Dataset set = Dataset::open(folder);
    if (request.missing == SampleRequest::Missing::pass_over && !set.has_split(request.split)) continue;
    const auto split = set.split(request.split);
    if (!split->tokens()) {
      ingredients.push_back({split, weight, folder});
      continue;
    }
    if (tokenizer && *tokenizer != split->tokens()->tokenizer_hash) {
      fail(ExitCode::usage, "{} was made with another tokenizer than the data sets before it in '{}'", folder,
           request.data);
    }
    tokenizer = split->tokens()->tokenizer_hash;
    if (request.windows.context == 0)
      fail(ExitCode::usage, "{} holds tokens: say how many of them a window has (--context)", folder);
    ingredients.push_back({token_windows(split, request.windows), weight, folder});
  }
  if (ingredients.empty()) return nullptr;
  return mix(std::move(ingredients));
}

}  // namespace trireme
