#include "core/ops/product_choices.hpp"

#include <atomic>
#include <charconv>
#include <map>
#include <mutex>

namespace trireme::ops {
namespace {

std::atomic<ProductSearch> search{ProductSearch::expected};

struct Choices {
  std::mutex guard;
  std::map<std::string, std::size_t> numbers;  // by the text before the last tab of a line
};
Choices& choices() {
  static Choices only;
  return only;
}

std::string name_of_choice(const std::string& where, const PlanKey& kind) {
  return fmt::format("{}\t{}", where, fmt::join(kind, " "));
}

[[noreturn]] void malformed(std::string_view line) {
  fail(ExitCode::corrupt_input, "choices of products: '{}' is not a name, a kind and a number between tabs", line);
}

}  // namespace

void set_product_search(ProductSearch how) { search = how; }
ProductSearch product_search() { return search; }

std::optional<std::size_t> product_choice(const std::string& where, const PlanKey& kind) {
  const std::lock_guard lock(choices().guard);
  const auto found = choices().numbers.find(name_of_choice(where, kind));
  if (found == choices().numbers.end()) return std::nullopt;
  return found->second;
}

void set_product_choice(const std::string& where, const PlanKey& kind, std::size_t number) {
  const std::lock_guard lock(choices().guard);
  choices().numbers[name_of_choice(where, kind)] = number;
}

std::string product_choices() {
  const std::lock_guard lock(choices().guard);
  std::string out;
  for (const auto& [name, number] : choices().numbers) out += fmt::format("{}\t{}\n", name, number);
  return out;
}

void keep_product_choices(std::string_view text) {
  std::map<std::string, std::size_t> read;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t tab = line.rfind('\t');
    if (tab == std::string_view::npos || line.find('\t') == tab) malformed(line);
    std::size_t number = 0;
    const char* const end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + tab + 1, end, number);
    if (error != std::errc() || stop != end) malformed(line);
    read[std::string(line.substr(0, tab))] = number;
  }
  const std::lock_guard lock(choices().guard);
  for (const auto& [name, number] : read) choices().numbers[name] = number;
}

}  // namespace trireme::ops
