// `trireme checkpoint diff`: what differs between two checkpoints, and whether it is more than a tolerance.
#include <fmt/format.h>

#include <map>
#include <set>
#include <vector>

#include "core/io/json.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/checkpoint_place.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/tensor_numbers.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* diff_name = "trireme checkpoint diff";

struct DiffAsked {
  double tolerance = 0;
  bool tensors = false;
};

/// Everything but the tensors, by name. Who wrote a checkpoint and when (ranks, version, time) is no part of it.
std::map<std::string, std::string> facts_of(const CheckpointManifest& manifest) {
  std::map<std::string, std::string> facts{
      {"step", std::to_string(manifest.step)}, {"samples", std::to_string(manifest.samples)}, {"data", manifest.data}};
  const auto add = [&](const char* kind, const Json& values) {
    for (const auto& [name, value] : values.items()) {
      facts[fmt::format("{} {}", kind, name)] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  };
  add("option", manifest.options);
  add("trainer", manifest.trainer);
  return facts;
}

std::string differing_facts(const CheckpointManifest& a, const CheckpointManifest& b) {
  const auto facts_a = facts_of(a), facts_b = facts_of(b);
  std::set<std::string> names;
  for (const auto* facts : {&facts_a, &facts_b}) {
    for (const auto& [name, value] : *facts) names.insert(name);
  }
  TextTable table({{"not the same"}, {"a"}, {"b"}});
  for (const std::string& name : names) {
    const auto in_a = facts_a.find(name), in_b = facts_b.find(name);
    const std::string one = in_a == facts_a.end() ? "(none)" : in_a->second;
    const std::string other = in_b == facts_b.end() ? "(none)" : in_b->second;
    if (one != other) table.add({name, one, other});
  }
  return table.empty() ? "" : "\n" + table.text();
}

std::string form_of(const SavedTensor& tensor) {
  return fmt::format("{} {}", name_of(tensor.dtype), tensor.shape.text());
}

/// Collects what is found about the tensors of both.
class TensorComparison {
 public:
  TensorComparison(const CheckpointReader& a, const CheckpointReader& b, double tolerance)
      : a_(a), b_(b), tolerance_(tolerance) {
    for (const SavedTensor& tensor : a.manifest().tensors) compare(tensor, b.find(tensor.plane, tensor.name));
    for (const SavedTensor& tensor : b.manifest().tensors) {
      if (a.find(tensor.plane, tensor.name) == nullptr) forms_.add({tensor.label(), "(none)", form_of(tensor)});
    }
  }

  bool differ() const { return outside_ > 0 || !forms_.empty(); }
  std::string text() const {
    std::string out;
    if (!forms_.empty()) out += "\n" + forms_.text();
    if (!values_.empty()) out += "\n" + values_.text();
    out += fmt::format("\ntensors: {} equal bit for bit", equal_);
    if (within_ > 0) out += fmt::format(", {} within the tolerance {}", within_, tolerance_);
    if (outside_ > 0) out += fmt::format(", {} different", outside_);
    return out + "\n";
  }

 private:
  void compare(const SavedTensor& one, const SavedTensor* other) {
    if (other == nullptr || one.dtype != other->dtype || one.shape != other->shape) {
      forms_.add({one.label(), form_of(one), other == nullptr ? "(none)" : form_of(*other)});
      return;
    }
    const TensorDifference found = difference_of({&a_, &one}, {&b_, other});
    if (found.differing == 0) {
      ++equal_;
      return;
    }
    const bool within = tolerance_ > 0 && found.relative <= tolerance_;
    ++(within ? within_ : outside_);
    values_.add({one.label(), fmt::format("{:.3g}", found.largest), fmt::format("{:.3g}", found.relative),
                 fmt::format("{} of {}", found.differing, one.shape.elements()), within ? "within" : ""});
  }

  const CheckpointReader& a_;
  const CheckpointReader& b_;
  double tolerance_;
  std::int64_t equal_ = 0, within_ = 0, outside_ = 0;
  TextTable forms_{{{"tensors not alike"}, {"a"}, {"b"}}};
  TextTable values_{
      {{"tensor"}, {"max |a-b|", Align::right}, {"relative norm", Align::right}, {"differing", Align::right}, {""}}};
};

}  // namespace

int checkpoint_diff_command(std::span<const std::string> args) {
  DiffAsked asked;
  CommandLine line({.name = diff_name,
                    .summary = "how two checkpoints differ; ends with 0 where they are equal, with 1 where not",
                    .examples = {"trireme checkpoint diff runs/a runs/b --tensors --tolerance 1e-6",
                                 "trireme checkpoint diff runs/a/checkpoints/step_00000100 "
                                 "runs/a/checkpoints/step_00000200"}},
                   {.words = "A B",
                    .description = "two checkpoints, or runs, of which the newest whole checkpoint is taken",
                    .count = 2});
  line.options()
      .add("tolerance", &asked.tolerance,
           "tensors count as equal up to this relative norm, |a-b| / max(|a|, |b|); 0: bit for bit", {.low = 0})
      .add("tensors", &asked.tensors, "compare the tensors alone, not step, data and options");
  const auto words = line.parse(args);
  if (!words) return 0;
  const auto a = open_newest(find_checkpoints(diff_name, words->at(0)));
  const auto b = open_newest(find_checkpoints(diff_name, words->at(1)));
  const std::string facts = asked.tensors ? "" : differing_facts(a->manifest(), b->manifest());
  const TensorComparison tensors(*a, *b, asked.tolerance);
  const bool equal = facts.empty() && !tensors.differ();
  print_out(fmt::format("a  {}\nb  {}\n{}{}{}\n", harmless(a->folder()), harmless(b->folder()), facts, tensors.text(),
                        equal ? "equal" : "different"));
  return equal ? 0 : 1;
}

}  // namespace trireme
