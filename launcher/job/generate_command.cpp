#include "launcher/job/generate_command.hpp"

#include <algorithm>
#include <chrono>

#include "core/base/checked.hpp"
#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/io/file.hpp"
#include "core/models/generate.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/device_choice.hpp"
#include "launcher/run/loaded_model.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* generate_name = "trireme generate";
constexpr std::size_t largest_prompts = std::size_t{64} << 20;

struct GenerateAsked {
  std::string prompt, prompt_file, device = "auto";
  std::int64_t copies = 1, seed = 1;
  bool stream = true, cache = true, show_prompt = true;
  GenerateOptions options;
  WeightKind weights = WeightKind::averaged;

  void declare(OptionGroup& group) {
    SamplingOptions& s = options.sampling;
    group.add("prompt,p", &prompt, "text to write on from; empty: the end-of-text token")
        .add("prompt-file", &prompt_file, "a prompt on each line of this file, written on together as a batch")
        .add("samples", &copies, "texts for each prompt", {.low = 1, .high = 4096})
        .add("tokens,n", &options.new_tokens, "new tokens at most", {.low = 1, .high = 1 << 24})
        .add("temperature,t", &s.temperature, "logits are divided by it; 0: always the most likely token")
        .add("top-k", &s.top_k, "draw among so many of the most likely tokens; 0: all")
        .add("top-p", &s.top_p, "draw among the most likely tokens that reach this probability")
        .add("repetition-penalty", &s.repetition_penalty, "above 1: tokens that are there already become less likely")
        .add("seed", &seed, "of the draws", {.low = 0})
        .add("device", &device, "where to compute: auto (a GPU where there is one), cpu, cuda or cuda:N")
        .add("stream", &stream, "print a single text as it is made")
        .add("cache", &cache, "keep keys and values of earlier tokens; off: compute them again, for comparisons")
        .add("show-prompt", &show_prompt, "print the prompt before what follows it");
    add_weights_option(group, weights);
  }
};

std::vector<std::string> prompts_of(const GenerateAsked& asked) {
  if (asked.prompt_file.empty()) return {asked.prompt};
  if (!asked.prompt.empty()) fail(ExitCode::usage, "{}: give --prompt or --prompt-file, not both", generate_name);
  const std::string text = read_file(asked.prompt_file, largest_prompts);
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (out.empty())
    fail(ExitCode::usage, "{}: {} holds no prompt; write one on each line", generate_name, asked.prompt_file);
  return out;
}

std::vector<std::int32_t> ids_of(const Tokenizer& tokenizer, const std::string& prompt) {
  std::vector<std::int32_t> ids = tokenizer.encode(prompt, SpecialTokens::recognised);
  if (!ids.empty()) return ids;
  if (const auto end = tokenizer.end_of_text()) return {*end};
  fail(ExitCode::usage, "{}: the prompt is empty, and the model's tokenizer has no end-of-text token to begin with",
       generate_name);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Tells how fast it went, to standard error: the text alone is output.
void report(std::size_t tokens, double seconds) {
  log::info("{} new tokens in {:.2f} s: {:.1f} tokens/s", tokens, seconds, static_cast<double>(tokens) / seconds);
}

void print_one(LoadedModel& loaded, Context& context, const GenerateAsked& asked, const std::string& prompt) {
  TextStream text(*loaded.tokenizer);
  GenerateOptions options = asked.options;
  // The prompt comes with the first token: one that is refused is not printed.
  bool begun = !asked.show_prompt;
  const auto begin = [&] {
    if (!std::exchange(begun, true)) print_out(prompt);
  };
  options.on_token = [&](std::size_t, std::int32_t token) {
    begin();
    print_out(text.add(token));
  };
  const auto ids = ids_of(*loaded.tokenizer, prompt);
  const double started = seconds_now();
  const auto out = generate(*loaded.model, context, {ids}, options);
  begin();
  print_out(text.end() + "\n");
  report(out[0].size(), seconds_now() - started);
}

/// How many prompts are written on at once: as many as have a GiB of keys and values together.
std::size_t group_of(const LoadedModel& loaded, const std::vector<std::vector<std::int32_t>>& ids,
                     std::int64_t tokens) {
  std::size_t longest = 0;
  for (const auto& one : ids) longest = std::max(longest, one.size());
  const std::int64_t each = loaded.model->cache_bytes_per_token() * (static_cast<std::int64_t>(longest) + tokens);
  return to_size(std::clamp<std::int64_t>((std::int64_t{1} << 30) / each, 1, 256));
}

void print_many(LoadedModel& loaded, Context& context, const GenerateAsked& asked,
                const std::vector<std::string>& prompts) {
  std::vector<std::vector<std::int32_t>> ids;
  for (const std::string& prompt : prompts) ids.push_back(ids_of(*loaded.tokenizer, prompt));
  const double started = seconds_now();
  std::size_t tokens = 0;
  GenerateOptions options = asked.options;
  const std::size_t group = group_of(loaded, ids, options.new_tokens);
  for (std::size_t first = 0; first < ids.size(); first += group) {
    const std::size_t last = std::min(first + group, ids.size());
    const auto at = [&](std::size_t k) { return ids.begin() + static_cast<std::ptrdiff_t>(k); };
    options.first_prompt = first;
    const auto out = generate(*loaded.model, context, {at(first), at(last)}, options);
    for (std::size_t k = 0; k < out.size(); ++k) {
      tokens += out[k].size();
      print_out(fmt::format("== {}\n{}{}\n", first + k + 1, asked.show_prompt ? prompts[first + k] : "",
                            loaded.tokenizer->decode(out[k])));
    }
  }
  report(tokens, seconds_now() - started);
}

}  // namespace

int generate_command(std::span<const std::string> args) {
  GenerateAsked asked;
  CommandLine line({.name = generate_name,
                    .summary = "writes on from a prompt with a trained language model",
                    .examples = {"trireme generate runs/austen --prompt \"It was \" --tokens 200 --top-k 40",
                                 "trireme generate runs/austen --prompt-file prompts.txt --temperature 0"}},
                   {.words = "MODEL", .description = "folder of a run, of a checkpoint or of an imported model"});
  asked.declare(line.options());
  const auto found = line.parse(args);
  if (!found) return 0;
  asked.options.sampling.check();
  asked.options.seed = static_cast<std::uint64_t>(asked.seed);
  asked.options.cache = asked.cache ? GenerateOptions::Cache::on : GenerateOptions::Cache::off;
  std::vector<std::string> prompts;
  for (const std::string& one : prompts_of(asked)) prompts.insert(prompts.end(), to_size(asked.copies), one);
  const Device device = choose_device(DeviceRequest::parse(asked.device));
  LoadedModel loaded = load_language_model(found->front(), device, asked.weights);
  if (!loaded.tokenizer)
    fail(ExitCode::usage, "{}: {} has no tokenizer.json; put that of the model there", generate_name, found->front());
  asked.options.stops = loaded.stops;
  asked.options.known_tokens = loaded.tokenizer->vocabulary();
  const Stream stream(device);
  StepAllocator memory(device);
  Context context(stream, memory);
  if (asked.stream && prompts.size() == 1) {
    print_one(loaded, context, asked, prompts.front());
  } else {
    print_many(loaded, context, asked, prompts);
  }
  return 0;
}

}  // namespace trireme
