#include "datasets/multiple_choice.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/io/file.hpp"
#include "core/io/json_object.hpp"

namespace trireme {
namespace {

constexpr std::size_t largest_questions = std::size_t{1} << 30;
constexpr const char* what = "a question with choices";

/// How one of the two forms calls the same things.
struct Keys {
  const char* context;
  const char* choices;
  const char* answer;
};
constexpr Keys hella_swag = {.context = "ctx", .choices = "endings", .answer = "label"};
constexpr Keys own = {.context = "context", .choices = "choices", .answer = "answer"};

/// A number, or one written as a text.
std::int64_t answer_of(const JsonObject& line, const Keys& keys) {
  const Json& found = line.value(keys.answer);
  if (!found.is_string()) return line.count(keys.answer);
  const std::string& text = found.get_ref<const std::string&>();
  std::int64_t answer = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), answer);
  if (error != std::errc{} || end != text.data() + text.size() || answer < 0) {
    line.refuse(keys.answer, fmt::format("is {}, wanted the number of a choice", found.dump()));
  }
  return answer;
}

MultipleChoiceItem item_of(const JsonObject& line) {
  const bool foreign = line.has(hella_swag.context), ours = line.has(own.context);
  if (foreign == ours) {
    line.refuse(fmt::format("has {} of \"{}\" (HellaSwag) and \"{}\" (own form)", ours ? "both" : "neither",
                            hella_swag.context, own.context));
  }
  const Keys& keys = ours ? own : hella_swag;
  MultipleChoiceItem item{
      .context = line.text(keys.context), .choices = line.texts(keys.choices), .answer = answer_of(line, keys)};
  const auto choices = static_cast<std::int64_t>(item.choices.size());
  if (choices < 2) line.refuse(keys.choices, fmt::format("has {} texts, wanted at least 2", choices));
  if (std::ranges::any_of(item.choices, &std::string::empty)) line.refuse(keys.choices, "has an empty text");
  if (item.answer >= choices) {
    line.refuse(keys.answer, fmt::format("is {}, wanted from 0 to {}", item.answer, choices - 1));
  }
  return item;
}

}  // namespace

std::vector<MultipleChoiceItem> read_multiple_choice(const std::string& path) {
  const std::string text = read_file(path, largest_questions);
  std::vector<MultipleChoiceItem> items;
  std::string_view rest = text;
  for (std::int64_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      const std::string place = fmt::format("{}:{}", path, number);
      const Json json = parse_json(std::string(line), place, what);
      items.push_back(item_of(JsonObject(json, place, "")));
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (items.empty()) fail(ExitCode::corrupt_input, "{} has no question, wanted lines of questions with choices", path);
  return items;
}

}  // namespace trireme
