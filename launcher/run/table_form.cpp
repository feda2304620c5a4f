#include "launcher/run/table_form.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.hpp"

namespace trireme {
namespace {

bool is_number(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

/// The form of the table whose columns were taken over.
TableForm open_form(const Split& split, std::int64_t features) {
  const auto classes = static_cast<std::int64_t>(split.class_names().size());
  if (classes > 0)
    return {.task = TableForm::Task::classes, .features = features, .outputs = classes, .answered = false};
  return {.task = TableForm::Task::regression,
          .features = features,
          .outputs = static_cast<std::int64_t>(split.table()->targets.size()),
          .answered = false};
}

}  // namespace

TableForm TableForm::of(const Split& split, Answers answers) {
  const FieldSpec& x = split.fields().at(static_cast<std::size_t>(split.field_index("x")));
  if (x.ragged() || !is_number(x.dtype) || x.row.dims() != 1)
    fail(ExitCode::corrupt_input, "the field x of split {} is {} {}; wanted f32 (features)", split.name(),
         name_of(x.dtype), x.row.text());
  if (split.table() && leaves_targets_open(split.fields())) {
    if (answers == Answers::needed)
      fail(ExitCode::usage,
           "the rows of split {} leave open what is to be predicted of them ({}): they are for trireme predict alone",
           split.name(), fmt::join(split.table()->targets, ", "));
    return open_form(split, x.row[0]);
  }
  const auto y = std::ranges::find(split.fields(), "y", &FieldSpec::name);
  if (y != split.fields().end()) {
    if (y->ragged() || !is_number(y->dtype) || y->row.dims() > 1)
      fail(ExitCode::corrupt_input, "the field y of split {} is {} {}; wanted f32 (numbers to be predicted)",
           split.name(), name_of(y->dtype), y->row.text());
    return {.task = Task::regression, .features = x.row[0], .outputs = y->row.elements()};
  }
  const FieldSpec& label = split.fields().at(static_cast<std::size_t>(split.field_index("label")));
  const auto classes = static_cast<std::int64_t>(split.class_names().size());
  if (label.dtype != DType::i32 || label.row.elements() != 1 || classes < 2)
    fail(ExitCode::corrupt_input,
         "the field label of split {} is {} {}, with names of {} classes; wanted i32, and at least 2", split.name(),
         name_of(label.dtype), label.row.text(), classes);
  return {.task = Task::classes, .features = x.row[0], .outputs = classes};
}

std::string table_text(const Split& split) {
  const TableForm form = TableForm::of(split, Answers::optional);
  Json json{{"features", form.features}, {"outputs", form.outputs}, {"classes", split.class_names()}};
  const auto add_scaling = [&](const char* key, const Scaling& scaling) {
    json[key] = {{"mean", scaling.mean}, {"deviation", scaling.deviation}};
  };
  if (const auto& table = split.table()) {
    json["columns"] = table->features;
    json["targets"] = table->targets;
    add_scaling("feature_scaling", table->feature_scaling);
    add_scaling("target_scaling", table->target_scaling);
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trireme
