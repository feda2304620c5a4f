#include "core/tape/parameter.hpp"

#include <cmath>

namespace trireme {
namespace {
double fan(std::int64_t n) { return static_cast<double>(n > 0 ? n : 1); }
}  // namespace

Initializer Initializer::xavier_uniform(std::int64_t fan_in, std::int64_t fan_out) {
  return {Kind::uniform, std::sqrt(6.0 / fan(fan_in + fan_out))};
}
Initializer Initializer::xavier_normal(std::int64_t fan_in, std::int64_t fan_out) {
  return normal(std::sqrt(2.0 / fan(fan_in + fan_out)));
}
Initializer Initializer::kaiming_normal(std::int64_t fan_in) { return normal(std::sqrt(2.0 / fan(fan_in))); }
Initializer Initializer::kaiming_uniform(std::int64_t fan_in) { return {Kind::uniform, std::sqrt(6.0 / fan(fan_in))}; }

const Tensor& Parameter::value() const {
  require(static_cast<bool>(value_), "a parameter {} was used before materialize() gave it storage", shape_);
  return value_;
}

void Parameter::bind(Tensor value, std::string name, int index) {
  require(value.shape() == shape_, "binding the parameter {} {}: the storage has the shape {}", name, shape_,
          value.shape());
  value_ = std::move(value);
  name_ = std::move(name);
  index_ = index;
  for (PreferredForm& form : forms_) form = {};
}

const Tensor& State::value() const {
  require(static_cast<bool>(value_), "a module's state {} was used before materialize() gave it storage", shape_);
  return value_;
}

}  // namespace trireme
