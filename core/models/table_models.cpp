#include "core/models/table_models.hpp"

#include "core/nn/layers.hpp"

namespace trireme {

Sequential make_table_model(const TableModelOptions& options) {
  Sequential model;
  for (const std::int64_t width : options.hidden) {
    model.add(Linear(width, {.activation = ops::Activation::relu}));
    if (options.dropout > 0) model.add(Dropout(options.dropout));
  }
  model.add(Linear(options.outputs));
  return model;
}

}  // namespace trireme
