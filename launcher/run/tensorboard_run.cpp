#include "launcher/run/tensorboard_run.hpp"

#include <algorithm>
#include <cmath>

namespace trireme {
namespace {

constexpr std::int64_t most_images = 8;
constexpr std::int64_t gap = 2;  // columns between two images

/// f(std::span<const T>) of the elements on the host, T = float or double.
template <class F>
void with_host_floats(const Tensor& tensor, F&& f) {
  const auto copied = [&](auto zero) {
    const auto values = tensor.to_vector<decltype(zero)>();
    f(std::span<const decltype(zero)>(values));
  };
  const auto widened = [&](auto zero) {
    const auto values = tensor.to_vector<decltype(zero)>();
    std::vector<float> wide(values.size());
    std::transform(values.begin(), values.end(), wide.begin(), [](auto v) { return static_cast<float>(v); });
    f(std::span<const float>(wide));
  };
  const bool here = tensor.device() == Device::cpu();
  switch (tensor.dtype()) {
    case DType::f32:
      return here ? f(std::span<const float>(tensor.span<float>())) : copied(float{});
    case DType::f64:
      return here ? f(std::span<const double>(tensor.span<double>())) : copied(double{});
    case DType::bf16:
      return widened(BFloat16{});
    case DType::f16:
      return widened(Float16{});
    case DType::i32:
    case DType::i64:
    case DType::u8:
    case DType::u16:
      return;
  }
}

/// The finite values stretched to 0..255; what is not finite is black.
template <class T>
std::vector<std::uint8_t> stretched(std::span<const T> values) {
  T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::lowest();
  for (const T v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  // Halves, because the distance of two finite values need not be finite.
  const double half_range = static_cast<double>(high) / 2 - static_cast<double>(low) / 2;
  std::vector<std::uint8_t> out(values.size(), 0);
  if (!(half_range > 0)) return out;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (!std::isfinite(values[k])) continue;
    const double part = (static_cast<double>(values[k]) / 2 - static_cast<double>(low) / 2) / half_range;
    out[k] = static_cast<std::uint8_t>(std::lround(255 * part));
  }
  return out;
}

std::vector<std::uint8_t> bytes_of(const Tensor& images) {
  if (images.dtype() == DType::u8) return images.to_vector<std::uint8_t>();
  std::vector<std::uint8_t> out;
  with_host_floats(images, [&out](auto values) { out = stretched(values); });
  return out;
}

/// Images (B, H, W, C) side by side, `shown` of their channels.
struct Strip {
  Strip(const Shape& shape, std::int64_t shown, std::span<const std::uint8_t> pixels)
      : width(shape[0] * shape[2] + (shape[0] - 1) * gap), height(shape[1]), channels(shown) {
    bytes.resize(static_cast<std::size_t>(width * height * channels), 0);
    auto from = pixels.begin();
    for (std::int64_t image = 0; image < shape[0]; ++image) {
      for (std::int64_t row = 0; row < height; ++row) {
        const std::int64_t first = row * width + image * (shape[2] + gap);
        auto to = bytes.begin() + first * channels;
        for (std::int64_t column = 0; column < shape[2]; ++column, from += shape[3])
          to = std::copy_n(from, channels, to);
      }
    }
  }
  std::int64_t width, height, channels;
  std::vector<std::uint8_t> bytes;
};

/// Markdown and HTML see no signs of theirs in it.
std::string escaped_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '\n' || c == '\r') {
      out += ' ';
    } else {
      if (std::string_view("\\`*_{}[]#|").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace

TensorBoardRun::TensorBoardRun(const TensorBoardRunSettings& settings)
    : writer_({.folder = settings.folder, .first_step = settings.first_step}), every_(settings.every) {}

void TensorBoardRun::hyperparameters(const std::vector<ResolvedOption>& options) {
  // At the step where this file begins, so that a further resumption from there drops it with the rest.
  writer_.text("hyperparameters", writer_.start_step(), options_table(options));
}

void TensorBoardRun::step(const StepRecord& one) {
  writer_.scalars(one.step, {{"train/loss", one.loss},
                             {"train/learning_rate", one.learning_rate},
                             {"train/gradient_norm", one.gradient_norm},
                             {"train/samples_per_second", one.samples_per_second}});
  if (one.tokens_per_second) writer_.scalars(one.step, {{"train/tokens_per_second", *one.tokens_per_second}});
  if (one.utilisation) writer_.scalars(one.step, {{"train/utilisation", *one.utilisation}});
  if (one.loss_scale) writer_.scalars(one.step, {{"train/loss_scale", *one.loss_scale}});
}

void TensorBoardRun::validation(const ValidationRecord& one) {
  std::vector<TaggedValue> scalars{{"validation/loss", one.loss}};
  if (one.accuracy) scalars.push_back({"validation/accuracy", *one.accuracy});
  if (one.perplexity) scalars.push_back({"validation/perplexity", *one.perplexity});
  if (one.absolute_error) scalars.push_back({"validation/absolute_error", *one.absolute_error});
  if (one.squared_error) scalars.push_back({"validation/squared_error", *one.squared_error});
  writer_.scalars(one.step, scalars);
}

bool TensorBoardRun::details_due(std::int64_t step) const { return writer_.on() && every_ > 0 && step % every_ == 0; }

void TensorBoardRun::gradients(std::int64_t step, const ArenaLayout& layout, const GradientPlane& gradients) {
  for (std::size_t k = 0; k < layout.trained() && writer_.on(); ++k) {
    const ArenaEntry& entry = layout.entries()[k];
    Histogram histogram;
    with_host_floats(gradients.plane.slice(entry.offset, entry.count),
                     [&](auto values) { histogram.add(values, gradients.scale); });
    writer_.histogram("gradients/" + entry.name, step, histogram);
  }
}

void TensorBoardRun::images(std::int64_t step, const Tensor& batch) {
  if (!writer_.on() || !batch || batch.shape().dims() != 4 || batch.elements() == 0) return;
  const Tensor few = batch.slice(0, std::min(batch.shape()[0], most_images));
  const std::vector<std::uint8_t> pixels = bytes_of(few);
  if (pixels.empty()) return;
  const std::int64_t channels = few.shape()[3];
  const Strip strip(few.shape(), channels == 3 || channels == 4 ? channels : 1, pixels);
  writer_.image("train/images", step,
                {.width = strip.width, .height = strip.height, .channels = strip.channels, .pixels = strip.bytes});
}

std::string options_table(const std::vector<ResolvedOption>& options) {
  std::string out, group;
  for (const ResolvedOption& option : options) {
    if (out.empty() || option.group != group) {
      out += fmt::format("{}### {}\n\n| option | value | from |\n|---|---|---|\n", out.empty() ? "" : "\n",
                         escaped_cell(option.group));
      group = option.group;
    }
    out += fmt::format("| {} | {} | {} |\n", escaped_cell(option.name), escaped_cell(option.value),
                       escaped_cell(option.origin));
  }
  return out;
}

}  // namespace trireme
