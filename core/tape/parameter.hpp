// Trainable values and persistent state of modules. Constructing them declares a shape and an initialiser and takes no
// memory; materialize() (core/nn/arena.hpp) binds them to ranges of flat planes. Whoever computes resolves a Parameter
// to its storage at the moment of use, so nothing keeps weights alive or stale.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/tensor/tensor.hpp"

namespace trireme {

/// How a parameter's first values are drawn; element i of the parameter `name` depends on (seed, name, i) alone.
struct Initializer {
  enum class Kind : std::uint8_t { constant, normal, uniform };
  Kind kind = Kind::constant;
  /// constant: the value; normal: the standard deviation (mean 0); uniform: the half width around 0.
  double scale = 0;

  static Initializer constant(double value) { return {Kind::constant, value}; }
  static Initializer zeros() { return {Kind::constant, 0}; }
  static Initializer ones() { return {Kind::constant, 1}; }
  static Initializer normal(double deviation) { return {Kind::normal, deviation}; }
  /// Glorot and Bengio 2010: uniform in +-sqrt(6 / (fan_in + fan_out)).
  static Initializer xavier_uniform(std::int64_t fan_in, std::int64_t fan_out);
  static Initializer xavier_normal(std::int64_t fan_in, std::int64_t fan_out);
  /// He et al. 2015: normal with deviation sqrt(2 / fan_in), for layers followed by ReLU.
  static Initializer kaiming_normal(std::int64_t fan_in);
  static Initializer kaiming_uniform(std::int64_t fan_in);
};

/// Whether weight decay applies (not to biases and gains of norms).
enum class Decay : std::uint8_t { yes, no };
/// Whether the optimizer changes the parameter.
enum class Training : std::uint8_t { trained, frozen };

class Parameter {
 public:
  Parameter(Shape shape, Initializer initializer, Decay decay = Decay::yes)
      : shape_(shape), initializer_(initializer), decay_(decay) {}
  Parameter(Parameter&&) = default;
  Parameter& operator=(Parameter&&) = default;

  const Shape& shape() const { return shape_; }
  const Initializer& initializer() const { return initializer_; }
  Decay decay() const { return decay_; }
  Training training() const { return training_; }
  void set_training(Training training) { training_ = training; }

  /// The values; throws before materialisation.
  const Tensor& value() const;
  /// Called by the arena: the storage, the global name and the number of the entry in the layout.
  void bind(Tensor value, std::string name, int index);
  const std::string& name() const { return name_; }
  /// Position in the layout's entries, -1 before binding.
  int index() const { return index_; }
  bool on_meta() const { return value_ && value_.device().is_meta(); }

  /// Place for an op to keep a reordered copy of the values (a library's preferred form), valid while
  /// `version` equals value().version(). Kept here so that it lives as long as the weights.
  struct PreferredForm {
    std::uint64_t version = 0;
    std::shared_ptr<void> data;
  };
  PreferredForm& preferred_form(int kind) { return forms_[kind]; }

 private:
  Shape shape_;
  Initializer initializer_;
  Decay decay_;
  Training training_ = Training::trained;
  Tensor value_;
  std::string name_;
  int index_ = -1;
  PreferredForm forms_[2];
};

/// Values a module keeps that are not trained but saved and equal everywhere: batch-norm statistics.
class State {
 public:
  State(Shape shape, double initial) : shape_(shape), initial_(initial) {}
  const Shape& shape() const { return shape_; }
  double initial() const { return initial_; }
  const Tensor& value() const;
  void bind(Tensor value) { value_ = std::move(value); }

 private:
  Shape shape_;
  double initial_;
  Tensor value_;
};

}  // namespace trireme
