#include "core/models/generate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/random.hpp"
#include "core/ops/matmul.hpp"

namespace trireme {

void SamplingOptions::check() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    fail(ExitCode::usage, "--temperature {}: it must be 0 or more", temperature);
  if (top_k < 0) fail(ExitCode::usage, "--top-k {}: it must be 0 (all) or more", top_k);
  if (!(top_p > 0 && top_p <= 1)) fail(ExitCode::usage, "--top-p {}: it must be in (0, 1]", top_p);
  if (!(repetition_penalty > 0) || !std::isfinite(repetition_penalty))
    fail(ExitCode::usage, "--repetition-penalty {}: it must be above 0", repetition_penalty);
}

namespace {

struct Candidate {
  float logit;
  std::int32_t token;
  /// Most likely first.
  bool operator<(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : token < other.token;
  }
};

std::vector<Candidate> penalised(std::span<const float> logits, std::span<const std::int32_t> before, double penalty) {
  std::vector<Candidate> out(logits.size());
  for (std::size_t k = 0; k < logits.size(); ++k)
    out[k] = {std::isnan(logits[k]) ? -INFINITY : logits[k], static_cast<std::int32_t>(k)};
  if (penalty == 1) return out;
  const auto factor = static_cast<float>(penalty);
  for (const std::int32_t token : before) {
    const auto at = static_cast<std::size_t>(token);
    if (at >= out.size()) continue;
    const float logit = std::isnan(logits[at]) ? -INFINITY : logits[at];  // of the model: repeated tokens count once
    out[at].logit = logit > 0 ? logit / factor : logit * factor;
  }
  return out;
}

/// How many of the sorted weights are needed to reach `share` of their sum.
std::size_t nucleus(const std::vector<double>& weights, double share) {
  const double wanted = share * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (std::size_t k = 0; k < weights.size(); ++k)
    if ((sum += weights[k]) >= wanted) return k + 1;
  return weights.size();
}

}  // namespace

std::int32_t choose_token(std::span<const float> logits, std::span<const std::int32_t> before,
                          const SamplingOptions& options, double uniform) {
  std::vector<Candidate> all = penalised(logits, before, options.repetition_penalty);
  const Candidate best = *std::min_element(all.begin(), all.end());
  if (!std::isfinite(best.logit))
    fail(ExitCode::numeric, "none of the {} logits of the next token is a finite number: the weights are damaged",
         logits.size());
  if (options.temperature == 0) return best.token;
  const auto most = options.top_k > 0 ? std::min(all.size(), static_cast<std::size_t>(options.top_k)) : all.size();
  if (most < all.size()) {
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most), all.end());
    all.resize(most);
  }
  if (most < logits.size() || options.top_p < 1) std::sort(all.begin(), all.end());
  std::vector<double> weights(all.size());
  for (std::size_t k = 0; k < all.size(); ++k)
    weights[k] = std::exp((static_cast<double>(all[k].logit) - static_cast<double>(best.logit)) / options.temperature);
  if (options.top_p < 1) weights.resize(nucleus(weights, options.top_p));
  double left = uniform * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t k = 0; k < weights.size(); ++k)
    if ((left -= weights[k]) < 0) return all[k].token;
  return best.token;  // rounding left nothing
}

namespace {

using Rows = std::vector<std::vector<std::int32_t>>;

double draw_for(std::uint64_t seed, std::size_t prompt, std::size_t place) {
  const std::uint64_t key = random_key("generate", seed);
  const auto bits = philox({static_cast<std::uint32_t>(place), static_cast<std::uint32_t>(prompt), 0, 0},
                           {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
  return uniform_from(bits[0], bits[1]);
}

std::vector<float> as_floats(const Tensor& logits) {
  return with_floating(logits.dtype(), "generate", [&](auto zero) {
    std::vector<float> out;
    for (const auto value : logits.to_vector<decltype(zero)>()) out.push_back(static_cast<float>(value));
    return out;
  });
}

/// Rows of ids, filled up at the end to the length of the longest, and how many of each count.
struct Padded {
  Tensor ids;
  std::vector<std::int32_t> counts;
};
Padded padded(const Rows& rows, Device device) {
  std::size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  std::vector<std::int32_t> flat;
  Padded out;
  for (const auto& row : rows) {
    flat.insert(flat.end(), row.begin(), row.end());
    flat.resize(flat.size() + longest - row.size(), 0);
    out.counts.push_back(static_cast<std::int32_t>(row.size()));
  }
  out.ids = Tensor::from(flat, {std::ssize(rows), static_cast<std::int64_t>(longest)}, device);
  return out;
}

/// Logits after the last token of each row, all computed anew.
Tensor logits_without_cache(LanguageModel& model, Context& context, const Rows& rows) {
  const Padded input = padded(rows, context.device());
  const Tensor all = model.hidden(context, {.ids = input.ids}).tensor();
  const std::int64_t width = all.shape()[2], tokens = all.shape()[1], count = std::ssize(rows);
  const Tensor flat = all.reshape({count * tokens, width}), last = context.empty({count, width}, all.dtype());
  for (std::int64_t row = 0; row < count; ++row)
    last.slice(row, 1).copy_from(flat.slice(row * tokens + input.counts[static_cast<std::size_t>(row)] - 1, 1),
                                 context.stream());
  return ops::matmul(context, last, model.head(context), {.transpose_b = ops::Transpose::yes}).tensor();
}

void check_prompts(const LanguageModel& model, const Rows& prompts) {
  for (std::size_t k = 0; k < prompts.size(); ++k) {
    if (prompts[k].empty()) fail(ExitCode::usage, "prompt {} is empty: give at least one token", k + 1);
    if (std::ssize(prompts[k]) >= model.context_length())
      fail(ExitCode::usage, "prompt {} has {} tokens; the model's context is {}, which leaves no place for a new one",
           k + 1, prompts[k].size(), model.context_length());
    for (const std::int32_t id : prompts[k])
      if (id < 0 || id >= model.vocabulary())
        fail(ExitCode::usage, "prompt {} has the token {}, the model knows [0, {}): the tokenizer is of another model",
             k + 1, id, model.vocabulary());
  }
}

}  // namespace

Rows generate(LanguageModel& model, Context& context, const Rows& prompts, const GenerateOptions& options) {
  options.sampling.check();
  check_prompts(model, prompts);
  if (prompts.empty()) return {};
  context.begin_eval();
  Rows all = prompts, next = prompts, out(prompts.size());
  std::size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const std::int64_t capacity = std::min(
      model.context_length(), static_cast<std::int64_t>(longest) + std::max<std::int64_t>(options.new_tokens, 0));
  const bool cached = options.cache == GenerateOptions::Cache::on;
  DecodingState state;
  if (cached) state = model.begin_decoding(context, std::ssize(prompts), capacity);
  std::vector<char> done(prompts.size(), 0);
  const auto vocabulary = static_cast<std::size_t>(model.vocabulary());
  const auto known =
      options.known_tokens > 0 ? std::min(vocabulary, static_cast<std::size_t>(options.known_tokens)) : vocabulary;
  for (std::int64_t step = 0; step < options.new_tokens; ++step) {
    if (std::ranges::all_of(done, [](char one) { return one != 0; })) break;
    const Padded input = padded(next, context.device());
    const auto logits = as_floats(cached ? model.decode(context, input.ids, input.counts, state)
                                         : logits_without_cache(model, context, all));
    for (std::size_t k = 0; k < prompts.size(); ++k) {
      if (done[k]) {
        if (cached) state.lengths[k] = 0;  // goes on as filling
        continue;
      }
      const std::int32_t token =
          choose_token(std::span(logits).subspan(k * vocabulary, known), all[k], options.sampling,
                       draw_for(options.seed, options.first_prompt + k, out[k].size()));
      next[k] = {token};
      const bool stopped = std::ranges::find(options.stops, token) != options.stops.end();
      done[k] = stopped || std::ssize(all[k]) + 1 >= capacity ? 1 : 0;
      if (stopped) continue;
      all[k].push_back(token);
      out[k].push_back(token);
      if (options.on_token) options.on_token(k, token);
    }
  }
  return out;
}

}  // namespace trireme
