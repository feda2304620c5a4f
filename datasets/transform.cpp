#include "datasets/transform.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "core/kernels/team.hpp"
#include "datasets/encoded_images.hpp"

namespace trireme {
namespace {

/// Channel tables are repeated to this many pixels, so that the inner loop has a length the compiler can vectorise.
constexpr std::size_t repeated_pixels = 64;

/// out[i] = in[i] * gain[i mod period] - shift[i mod period]
template <class In, class Out>
struct AffineRow {
  using A = Accum<Out>;
  const A* __restrict gain;
  const A* __restrict shift;
  std::size_t period;

  void operator()(const std::byte* from, std::byte* to, std::size_t count) const {
    const In* __restrict in = reinterpret_cast<const In*>(from);
    Out* __restrict out = reinterpret_cast<Out*>(to);
    for (std::size_t start = 0; start < count; start += period) {
      const std::size_t n = std::min(period, count - start);
      for (std::size_t k = 0; k < n; ++k)
        out[start + k] = static_cast<Out>(static_cast<A>(in[start + k]) * gain[k] - shift[k]);
    }
  }
};

template <class Out>
class Normalise final : public Transform {
 public:
  explicit Normalise(const NormaliseOptions& options) : channels_(options.mean.size()) {
    if (options.deviation.size() != channels_ || channels_ == 0) {
      fail(ExitCode::usage, "normalise has {} means and {} deviations: give one pair, or one per channel", channels_,
           options.deviation.size());
    }
    for (std::size_t i = 0; i < channels_ * repeated_pixels; ++i) {
      const double deviation = options.deviation[i % channels_];
      if (!(deviation > 0)) fail(ExitCode::usage, "normalise by a deviation of {}: it must be above 0", deviation);
      gain_.push_back(static_cast<Accum<Out>>(options.scale / deviation));
      shift_.push_back(static_cast<Accum<Out>>(options.mean[i % channels_] / deviation));
    }
  }

  RowType output(const RowType& in) const override {
    if (in.dtype != DType::u8 && in.dtype != DType::f32 && in.dtype != DType::f64) {
      fail(ExitCode::usage, "normalise takes u8, f32 or f64, not {}", name_of(in.dtype));
    }
    const std::int64_t last = in.shape.dims() > 0 ? in.shape[-1] : 1;
    if (channels_ > 1 && narrow<std::int64_t>(channels_) != last) {
      fail(ExitCode::usage, "normalise has {} channels, the rows have shape {}", channels_, in.shape.text());
    }
    return {dtype_of<Out>, in.shape};
  }

  void apply(const TransformInput& in, std::byte* out) const override {
    const auto count = static_cast<std::size_t>(in.type.shape.elements());
    if (in.type.dtype == DType::u8) return run<std::uint8_t>(in.data, out, count);
    if (in.type.dtype == DType::f32) return run<float>(in.data, out, count);
    run<double>(in.data, out, count);
  }

 private:
  template <class In>
  void run(const std::byte* in, std::byte* out, std::size_t count) const {
    AffineRow<In, Out>{gain_.data(), shift_.data(), gain_.size()}(in, out, count);
  }

  std::size_t channels_;
  std::vector<Accum<Out>> gain_, shift_;
};

/// Extents of an image row and the bytes of one pixel.
struct ImageShape {
  std::int64_t height, width, channels;
  std::size_t pixel;
};

ImageShape image_shape(const char* who, const RowType& in) {
  if (in.shape.dims() != 3) {
    fail(ExitCode::usage, "{} takes images (H, W, C), the rows have shape {}", who, in.shape.text());
  }
  return {in.shape[0], in.shape[1], in.shape[2], static_cast<std::size_t>(in.shape[2]) * size_of(in.dtype)};
}

template <std::size_t pixel>
void mirror(const std::byte* in, std::byte* out, std::size_t width) {
  for (std::size_t x = 0; x < width; ++x) std::memcpy(out + x * pixel, in + (width - 1 - x) * pixel, pixel);
}

void mirror_line(const std::byte* in, std::byte* out, std::size_t width, std::size_t pixel) {
  if (pixel == 1) return mirror<1>(in, out, width);
  if (pixel == 3) return mirror<3>(in, out, width);
  if (pixel == 4) return mirror<4>(in, out, width);
  for (std::size_t x = 0; x < width; ++x) std::memcpy(out + x * pixel, in + (width - 1 - x) * pixel, pixel);
}

class HorizontalFlip final : public Transform {
 public:
  explicit HorizontalFlip(double probability) : probability_(probability) {
    if (!(probability >= 0 && probability <= 1)) {
      fail(ExitCode::usage, "a probability of {} is not in [0, 1]", probability);
    }
  }

  RowType output(const RowType& in) const override {
    image_shape("random_horizontal_flip", in);
    return in;
  }

  void apply(const TransformInput& in, std::byte* out) const override {
    const auto bits = in.key.bits();
    if (uniform_from(bits[0], bits[1]) >= probability_) {
      std::memcpy(out, in.data, in.type.bytes());
      return;
    }
    const ImageShape image = image_shape("random_horizontal_flip", in.type);
    const auto width = static_cast<std::size_t>(image.width);
    const std::size_t line = width * image.pixel;
    for (std::int64_t y = 0; y < image.height; ++y) {
      const std::size_t at = static_cast<std::size_t>(y) * line;
      mirror_line(in.data + at, out + at, width, image.pixel);
    }
  }

 private:
  double probability_;
};

class RandomCrop final : public Transform {
 public:
  explicit RandomCrop(const CropOptions& options) : options_(options) {
    if (options.padding < 0 || options.height < 0 || options.width < 0) {
      fail(ExitCode::usage, "random_crop with padding {} to {} x {}: no number may be below 0", options.padding,
           options.height, options.width);
    }
  }

  RowType output(const RowType& in) const override {
    const ImageShape image = image_shape("random_crop", in);
    const std::int64_t height = options_.height > 0 ? options_.height : image.height;
    const std::int64_t width = options_.width > 0 ? options_.width : image.width;
    if (height > image.height + 2 * options_.padding || width > image.width + 2 * options_.padding) {
      fail(ExitCode::usage, "random_crop to {} x {} does not fit an image {} with {} pixels of padding", height, width,
           in.shape.text(), options_.padding);
    }
    return {in.dtype, Shape{height, width, image.channels}};
  }

  void apply(const TransformInput& in, std::byte* out) const override {
    const ImageShape image = image_shape("random_crop", in.type);
    const std::int64_t height = options_.height > 0 ? options_.height : image.height;
    const std::int64_t width = options_.width > 0 ? options_.width : image.width;
    const auto bits = in.key.bits();
    const std::int64_t top = place(bits[0], image.height + 2 * options_.padding - height) - options_.padding;
    const std::int64_t left = place(bits[1], image.width + 2 * options_.padding - width) - options_.padding;
    // Columns [begin, end) of the window lie inside the image.
    const std::int64_t begin = std::clamp<std::int64_t>(-left, 0, width);
    const std::int64_t end = std::clamp<std::int64_t>(image.width - left, begin, width);
    for (std::int64_t y = 0; y < height; ++y) {
      std::byte* const line = out + static_cast<std::size_t>(y * width) * image.pixel;
      if (top + y < 0 || top + y >= image.height || begin == end) {
        std::memset(line, 0, static_cast<std::size_t>(width) * image.pixel);
        continue;
      }
      const std::int64_t source = (top + y) * image.width + left + begin;
      std::memset(line, 0, static_cast<std::size_t>(begin) * image.pixel);
      std::memcpy(line + static_cast<std::size_t>(begin) * image.pixel,
                  in.data + static_cast<std::size_t>(source) * image.pixel,
                  static_cast<std::size_t>(end - begin) * image.pixel);
      std::memset(line + static_cast<std::size_t>(end) * image.pixel, 0,
                  static_cast<std::size_t>(width - end) * image.pixel);
    }
  }

 private:
  /// A random whole number in [0, most].
  static std::int64_t place(std::uint32_t bits, std::int64_t most) {
    return static_cast<std::int64_t>((std::uint64_t{bits} * static_cast<std::uint64_t>(most + 1)) >> 32);
  }

  CropOptions options_;
};

class Widen final : public Transform {
 public:
  RowType output(const RowType& in) const override {
    if (in.dtype != DType::u8) fail(ExitCode::usage, "widen takes u8, not {}", name_of(in.dtype));
    return {DType::i32, in.shape};
  }
  void apply(const TransformInput& in, std::byte* out) const override {
    auto* const to = reinterpret_cast<std::int32_t*>(out);
    for (std::size_t k = 0; k < in.type.bytes(); ++k) to[k] = std::to_integer<std::int32_t>(in.data[k]);
  }
};

}  // namespace

std::array<std::uint32_t, 4> SampleKey::bits() const {
  return philox({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(position >> 32), place, 0x6175676du},
                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

std::shared_ptr<const Transform> normalise(const NormaliseOptions& options) {
  if (!is_floating(options.to))
    fail(ExitCode::usage, "normalise makes f32, f64, bf16 or f16, not {}", name_of(options.to));
  return with_floating(options.to, "normalise", [&](auto zero) -> std::shared_ptr<const Transform> {
    return std::make_shared<Normalise<decltype(zero)>>(options);
  });
}

std::shared_ptr<const Transform> random_horizontal_flip(double probability) {
  return std::make_shared<HorizontalFlip>(probability);
}

std::shared_ptr<const Transform> random_crop(const CropOptions& options) {
  return std::make_shared<RandomCrop>(options);
}

std::shared_ptr<const Transform> widen() { return std::make_shared<Widen>(); }

TransformChain::TransformChain(TransformList list, const RowType& in) : list_(std::move(list)), types_{in} {
  if (in.encoded() && (list_.empty() || !list_.front()->takes_encoded())) {
    decoder_ = decoded_image();
    list_.insert(list_.begin(), decoder_);
  }
  for (const auto& transform : list_) types_.push_back(transform->output(types_.back()));
  for (std::size_t i = 1; i + 1 < types_.size(); ++i) {
    auto& buffer = between_[i % 2];
    buffer.resize(std::max(buffer.size(), types_[i].bytes()));
  }
}

void TransformChain::apply(std::span<const std::byte> in, std::byte* out, SampleKey key) {
  if (list_.empty()) {
    std::memcpy(out, in.data(), types_.front().bytes());
    return;
  }
  const std::byte* from = in.data();
  for (std::size_t i = 0; i < list_.size(); ++i) {
    // The decoder draws nothing: a transform's numbers are the same whether rows are encoded or not.
    key.place = static_cast<std::uint32_t>(decoder_ && i > 0 ? i - 1 : i);
    std::byte* const to = i + 1 == list_.size() ? out : between_[(i + 1) % 2].data();
    list_[i]->apply({types_[i], from, key, in.size()}, to);
    from = to;
  }
}

}  // namespace trireme
