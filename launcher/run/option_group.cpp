// The kinds of options (flag, number, text, choice, sizes) with the words for what each accepts, and the --help text.
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "core/base/error.hpp"
#include "launcher/run/option_value.hpp"
#include "launcher/run/options.hpp"

namespace trireme {
namespace {

template <class T>
std::string range_text(const char* kind, T low, T high) {
  // An integer's infinity() is 0.
  constexpr bool endless = std::numeric_limits<T>::has_infinity;
  const bool from = low != (endless ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest());
  const bool to = high != (endless ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max());
  if (from && to) return fmt::format("{} from {} to {}", kind, low, high);
  if (from) return fmt::format("{} of at least {}", kind, low);
  if (to) return fmt::format("{} of at most {}", kind, high);
  return kind;
}

std::shared_ptr<detail::Option> make_option(const std::string& names, const std::string& description) {
  auto option = std::make_shared<detail::Option>();
  const std::size_t comma = names.find(',');
  option->name = names.substr(0, comma);
  if (comma != std::string::npos) option->short_name = names.substr(comma + 1);
  option->description = description;
  return option;
}

/// `text` in lines of at most `width` letters, the later ones behind `indent` spaces.
std::string wrapped(const std::string& text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t column = 0, begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (column > 0 && column + 1 + (end - begin) > width) {
      out += "\n" + std::string(indent, ' ');
      column = 0;
    }
    if (column > 0) out += ' ', ++column;
    out += text.substr(begin, end - begin);
    column += end - begin;
    begin = end + 1;
  }
  return out;
}

std::string help_entry(const detail::Option& option) {
  constexpr std::size_t indent = 30, width = 88;
  std::string left =
      fmt::format("  {}--{}", option.short_name.empty() ? "" : "-" + option.short_name + ", ", option.name);
  if (!option.flag) left += " VALUE";
  std::string right = option.description;
  if (!option.flag && option.wanted != "a text") right += fmt::format("; {}", option.wanted);
  if (!option.default_text.empty() && !(option.flag && option.default_text == "false")) {
    right += fmt::format(" [{}]", option.default_text);
  }
  const std::string gap =
      left.size() + 2 > indent ? "\n" + std::string(indent, ' ') : std::string(indent - left.size(), ' ');
  return left + gap + wrapped(right, width, indent) + "\n";
}

}  // namespace

OptionGroup& OptionGroup::add(const std::string& names, bool* value, const std::string& description) {
  auto option = make_option(names, description);
  option->flag = true;
  option->wanted = "true or false";
  option->set = [value](const std::string& text) {
    const auto read = detail::read_flag(text);
    if (read) *value = *read;
    return read.has_value();
  };
  option->get = [value] { return std::string(*value ? "true" : "false"); };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add(const std::string& names, std::int64_t* value, const std::string& description,
                              IntBounds bounds) {
  auto option = make_option(names, description);
  option->wanted = range_text("a whole number", bounds.low, bounds.high);
  option->set = [value, bounds](const std::string& text) {
    const auto read = detail::read_integer(text);
    const bool fits = read && *read >= bounds.low && *read <= bounds.high;
    if (fits) *value = *read;
    return fits;
  };
  option->get = [value] { return std::to_string(*value); };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add(const std::string& names, double* value, const std::string& description,
                              RealBounds bounds) {
  auto option = make_option(names, description);
  option->wanted = range_text("a number", bounds.low, bounds.high);
  option->set = [value, bounds](const std::string& text) {
    const auto read = detail::read_real(text);
    const bool fits = read && *read >= bounds.low && *read <= bounds.high;
    if (fits) *value = *read;
    return fits;
  };
  option->get = [value] { return detail::write_real(*value); };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add(const std::string& names, std::string* value, const std::string& description) {
  auto option = make_option(names, description);
  option->wanted = "a text";
  option->set = [value](const std::string& text) {
    *value = text;
    return true;
  };
  option->get = [value] { return *value; };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add(const std::string& names, std::string* value, const std::string& description,
                              std::vector<std::string> choices) {
  auto option = make_option(names, description);
  option->wanted = fmt::format("one of: {}", fmt::join(choices, ", "));
  option->choices = choices;
  option->set = [value, choices = std::move(choices)](const std::string& text) {
    const bool fits = std::find(choices.begin(), choices.end(), text) != choices.end();
    if (fits) *value = text;
    return fits;
  };
  option->get = [value] { return *value; };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add(const std::string& names, std::vector<std::int64_t>* value,
                              const std::string& description, IntBounds bounds) {
  auto option = make_option(names, description);
  option->wanted = range_text("whole numbers separated by commas, each", bounds.low, bounds.high);
  option->set = [value, bounds](const std::string& text) {
    auto read = detail::read_sizes(text);
    const auto inside = [bounds](std::int64_t n) { return n >= bounds.low && n <= bounds.high; };
    const bool fits = read && std::all_of(read->begin(), read->end(), inside);
    if (fits) *value = std::move(*read);
    return fits;
  };
  option->get = [value] { return fmt::format("{}", fmt::join(*value, ",")); };
  options_.push_back(option);
  return *this;
}

OptionGroup& OptionGroup::add_choice(const std::string& names, const std::string& description,
                                     std::vector<std::string> choices, ChoiceAccess access) {
  auto option = make_option(names, description);
  option->wanted = fmt::format("one of: {}", fmt::join(choices, ", "));
  option->choices = choices;
  auto texts = std::make_shared<const std::vector<std::string>>(std::move(choices));
  require(access.chosen() < texts->size(), "option '{}': its default is not one of its choices", option->name);
  option->set = [texts, choose = std::move(access.choose)](const std::string& text) {
    const auto at = std::find(texts->begin(), texts->end(), text);
    if (at == texts->end()) return false;
    choose(static_cast<std::size_t>(at - texts->begin()));
    return true;
  };
  option->get = [texts, chosen = std::move(access.chosen)] { return texts->at(chosen()); };
  options_.push_back(option);
  return *this;
}

std::string OptionSet::help() const {
  const bool named = positional_ != nullptr;
  std::string out = fmt::format("{}: {}\n\nUsage: {} [options]{}\n", text_.name, text_.summary, text_.name,
                                named ? " " + positional_name_ : "");
  if (named) out += fmt::format("  {}: {}\n", positional_name_, positional_description_);
  // The general options are declared first and read last.
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const OptionGroup& one = *groups_[(i + 1) % groups_.size()];
    out += fmt::format("\n{}:\n", one.title_);
    for (const auto& option : one.options_) out += help_entry(*option);
  }
  if (text_.sources == OptionSources::all) {
    out += "\nPrecedence: command line, then environment TRIREME_NAME, then --config file, then [default].\n";
  }
  if (!text_.examples.empty()) out += fmt::format("\nExamples:\n  {}\n", fmt::join(text_.examples, "\n  "));
  return out;
}

}  // namespace trireme
