#include "launcher/job/data_order.hpp"

#include <fmt/ranges.h>

#include <charconv>

#include "core/base/checked.hpp"
#include "datasets/open_samples.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

struct OrderRequest {
  SampleRequest samples = {};
  std::int64_t batch = 64, accumulate = 1, ranks = 1, seed = 1;
  double validation = 0;
  Order order = Order::shuffled;
  std::int64_t block = ShuffleBlocks{}.samples;
  std::string steps = "1..10";

  /// A training on token sets that bring their own validation windows holds none out.
  double held_out() const {
    SampleRequest own{.data = samples.data,
                      .split = "validation",
                      .missing = SampleRequest::Missing::pass_over,
                      .windows = samples.windows};
    return samples.windows.context > 0 && open_samples(own) ? 0 : validation;
  }

  void declare(OptionGroup& options) {
    options.add("data", &samples.data, "folder of the data set, or DIR=WEIGHT,DIR=WEIGHT; must be given")
        .add("split", &samples.split, "the split that is trained on")
        .add("context", &samples.windows.context, "tokens of a window, for token sets", {.low = 0})
        .add("batch", &batch, "samples of a step, over all ranks", {.low = 1, .high = 1 << 24})
        .add("accumulate", &accumulate, "micro-batches a batch is cut into", {.low = 1, .high = 1 << 16})
        .add("ranks", &ranks, "ranks that share a batch", {.low = 1, .high = 1 << 20})
        .add("seed", &seed, "as in training", {.low = 0})
        .add("validation", &validation, "as in training: fraction held out", {.low = 0, .high = 0.9})
        .add("shuffle", &order, "as in training", {{"samples", Order::shuffled}, {"blocks", Order::blocks}})
        .add("shuffle-block", &block, "as in training", {.low = 1, .high = 1 << 30})
        .add("steps", &steps, "first and last step, counted from 1");
  }
};

struct Steps {
  std::int64_t first = 0, last = 0;
};

Steps steps_of(const std::string& text) {
  Steps out;
  const char* const end = text.data() + text.size();
  const auto [dots, error] = std::from_chars(text.data(), end, out.first);
  bool good = error == std::errc{};
  if (good && dots == end) {
    out.last = out.first;
  } else {
    good = good && std::string_view(dots, end).starts_with("..");
    const auto [rest, other] = good ? std::from_chars(dots + 2, end, out.last) : std::from_chars_result{end, {}};
    good = good && other == std::errc{} && rest == end;
  }
  if (!good || out.first < 1 || out.last < out.first || out.last > (std::int64_t{1} << 40)) {
    fail(ExitCode::usage, "--steps '{}' is not a step or a range of them, such as 1..10", text);
  }
  return out;
}

/// A line for each micro-batch and rank.
void print_step(const OrderRequest& request, const Samples& samples, std::int64_t step) {
  const Sampler sampler({.parts = samples->parts(),
                         .seed = static_cast<std::uint64_t>(request.seed),
                         .order = request.order,
                         .blocks = {.samples = request.block}});
  const std::int64_t micro = request.batch / request.accumulate;
  for (std::int64_t k = 0; k < request.accumulate; ++k) {
    for (std::int64_t rank = 0; rank < request.ranks; ++rank) {
      const PartRows rows = part_rows(micro, static_cast<int>(rank), static_cast<int>(request.ranks));
      std::vector<std::int64_t> mine(to_size(rows.count));
      const std::int64_t position = checked_add(checked_mul(step - 1, request.batch), k * micro + rows.first);
      sampler.fill(static_cast<std::uint64_t>(position), mine);
      samples->resolve(mine);
      const std::string part = request.accumulate == 1 ? "" : fmt::format(" micro-batch {}", k);
      print_out(fmt::format("step {}{} rank {}: {}\n", step, part, rank, fmt::join(mine, " ")));
    }
  }
}

}  // namespace

int data_order_command(std::span<const std::string> args) {
  OrderRequest request;
  CommandLine line(
      {.name = "trireme data order",
       .summary = "which samples which rank reads at which step of a training run; samples and windows are "
                  "counted from 0",
       .examples = {"trireme data order --run runs/austen --ranks 2 --steps 1..4",
                    "trireme data order --data data/text --context 256 --batch 8 --ranks 2 --steps 1..4"}},
      {.words = "", .description = "", .count = 0});
  line.take_from_run("run", "a run folder, whose data, context, batch, seed, validation and shuffling are taken");
  request.declare(line.options());
  if (!line.parse(args)) return 0;
  if (request.samples.data.empty())
    fail(ExitCode::usage, "trireme data order needs --run or --data; see trireme data order --help");
  const Steps steps = steps_of(request.steps);
  if (request.batch % request.accumulate != 0) {
    fail(ExitCode::usage, "--batch {} cannot be cut into {} micro-batches of equal size", request.batch,
         request.accumulate);
  }
  const TrainValidation parts(open_samples(request.samples), request.held_out(),
                              static_cast<std::uint64_t>(request.seed));
  for (std::int64_t step = steps.first; step <= steps.last; ++step) print_step(request, parts.train, step);
  return 0;
}

}  // namespace trireme
