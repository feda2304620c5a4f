// What follows a product whose library cannot do it itself: the bias of each column and the activation, in one pass.
#pragma once

#include "core/kernels/activation.hpp"

namespace trireme::kernels {

enum class Finish : std::uint8_t { none, relu, gelu_tanh_fit };

/// A row kernel: v = y + bias; before = v; y = f(v). bias (features) and before (rows, features) may be null.
template <class T>
struct ProductFinish {
  static constexpr const char* name = "product_finish";
  T* y;
  const T* bias;
  T* before;
  std::int64_t features;
  Finish finish;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    T* const out = y + row * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(static_cast<const T*>(out) + c, width);
      if (bias != nullptr) {
        const auto more = load(bias + c, width);
        for (int k = 0; k < width; ++k) v[k] += more[k];
      }
      if (before != nullptr) store(before + row * features + c, v);
      if (finish == Finish::relu)
        for (int k = 0; k < width; ++k) v[k] = Relu::value(v[k]);
      if (finish == Finish::gelu_tanh_fit)
        for (int k = 0; k < width; ++k) v[k] = GeluTanh::value(v[k]);
      store(out + c, v);
    });
  }
};

}  // namespace trireme::kernels
