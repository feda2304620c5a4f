#include "launcher/run/option_tables.hpp"

#include "core/base/error.hpp"
#include "launcher/run/option_value.hpp"

namespace trireme {
namespace {

OptionTables* living = nullptr;

OptionText text_of(const std::string& group, const detail::Option& option) {
  using Kind = OptionText::Kind;
  return {.group = group,
          .name = option.name,
          .short_name = option.short_name,
          .description = option.description,
          .wanted = option.wanted,
          .default_text = option.get(),
          .choices = option.choices,
          .kind = option.flag                 ? Kind::flag
                  : !option.choices.empty()   ? Kind::choice
                  : option.wanted == "a text" ? Kind::text
                                              : Kind::number};
}

}  // namespace

OptionTables::OptionTables() {
  require(living == nullptr, "two tables of options at once");
  living = this;
}

OptionTables::~OptionTables() { living = nullptr; }

OptionTables* OptionTables::current() { return living; }

ProgramTable OptionSet::table() const {
  ProgramTable out{.program = text_, .operands = positional_name_, .operands_description = positional_description_};
  // The general options are declared first and shown last.
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const OptionGroup& one = *groups_[(i + 1) % groups_.size()];
    for (const auto& option : one.options_) out.options.push_back(text_of(one.title_, *option));
  }
  return out;
}

}  // namespace trireme
