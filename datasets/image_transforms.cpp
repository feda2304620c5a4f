#include "datasets/image_transforms.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <numbers>
#include <optional>

#include "core/base/checked.hpp"
#include "core/base/random.hpp"
#include "datasets/encoded_images.hpp"

namespace trireme {
namespace {

using Pixel = std::uint8_t;

struct Picture {
  std::int64_t height, width, channels;
  const Pixel* pixels;
  std::size_t bytes() const { return to_size(height * width * channels); }
  ImageExtent extent() const { return {width, height}; }
};

/// Takes images u8 (H, W, C) and makes such of the same size.
class ImageTransform : public Transform {
 public:
  explicit ImageTransform(const char* name) : name_(name) {}
  RowType output(const RowType& in) const override {
    if (in.dtype != DType::u8 || in.shape.dims() != 3)
      fail(ExitCode::usage, "{} takes images u8 (H, W, C), the rows are {} {}", name_, name_of(in.dtype),
           in.shape.text());
    return {in.dtype, in.shape};
  }
  void apply(const TransformInput& in, std::byte* out) const override {
    const Shape& shape = in.type.shape;
    change({shape[0], shape[1], shape[2], reinterpret_cast<const Pixel*>(in.data)}, in.key.bits(),
           reinterpret_cast<Pixel*>(out));
  }

 protected:
  using Bits = std::array<std::uint32_t, 4>;
  virtual void change(const Picture& from, const Bits& bits, Pixel* to) const = 0;

 private:
  const char* name_;
};

/// A double in [0, 1) of 32 bits.
double part(std::uint32_t bits) { return static_cast<double>(bits) * 0x1.0p-32; }
double between(std::uint32_t bits, double low, double high) { return low + (high - low) * part(bits); }
/// A whole number in [0, most].
std::int64_t place(std::uint32_t bits, std::int64_t most) {
  return static_cast<std::int64_t>((std::uint64_t{bits} * static_cast<std::uint64_t>(most + 1)) >> 32);
}
Pixel rounded(double value) { return static_cast<Pixel>(std::clamp(value + 0.5, 0.0, 255.0)); }

/// Sides of a rectangle of an area and a ratio width / height, inside the picture.
struct Sides {
  std::int64_t width, height;
};
Sides sides_of(const ImageExtent& picture, double area, double log_ratio) {
  const double pixels = area * static_cast<double>(picture.width * picture.height), ratio = std::exp(log_ratio);
  const auto side = [](double length, std::int64_t most) {
    return std::clamp<std::int64_t>(std::llround(length), 1, most);
  };
  return {side(std::sqrt(pixels * ratio), picture.width), side(std::sqrt(pixels / ratio), picture.height)};
}

class ResizedCrop final : public ImageTransform {
 public:
  explicit ResizedCrop(double least_area) : ImageTransform("random_resized_crop"), least_(least_area) {
    if (!(least_area > 0 && least_area <= 1)) fail(ExitCode::usage, "a least area of {} is not in (0, 1]", least_area);
  }

  bool takes_encoded() const override { return true; }
  void apply(const TransformInput& in, std::byte* out) const override {
    if (!in.type.encoded()) return ImageTransform::apply(in, out);
    const Bits bits = in.key.bits();
    decode_row(
        in, [&](ImageExtent image) { return PartChoice{window_in(image, bits)}; }, reinterpret_cast<Pixel*>(out));
  }

 private:
  ImageWindow window_in(const ImageExtent& image, const Bits& bits) const {
    const double most = std::log(4.0 / 3);
    const Sides sides = sides_of(image, between(bits[0], least_, 1), between(bits[1], -most, most));
    return {static_cast<double>(place(bits[3], image.width - sides.width)),
            static_cast<double>(place(bits[2], image.height - sides.height)), static_cast<double>(sides.width),
            static_cast<double>(sides.height)};
  }
  void change(const Picture& from, const Bits& bits, Pixel* to) const override {
    const ImageWindow window = window_in(from.extent(), bits);
    const auto left = static_cast<std::int64_t>(window.left), top = static_cast<std::int64_t>(window.top);
    resize_window({.image = {from.width, from.height, from.channels, {from.pixels, from.bytes()}},
                   .window = window,
                   .bounds = {left, top, left + static_cast<std::int64_t>(window.width),
                              top + static_cast<std::int64_t>(window.height)}},
                  from.extent(), to);
  }
  double least_;
};

class Rotation final : public ImageTransform {
 public:
  explicit Rotation(double degrees) : ImageTransform("random_rotation"), degrees_(degrees) {
    if (!(degrees >= 0 && degrees <= 180))
      fail(ExitCode::usage, "a rotation by {} degrees is not in [0, 180]", degrees);
  }

 private:
  void change(const Picture& from, const Bits& bits, Pixel* to) const override {
    const double angle = between(bits[0], -degrees_, degrees_) * std::numbers::pi / 180;
    const double cosine = std::cos(angle), sine = std::sin(angle);
    const double cx = static_cast<double>(from.width - 1) / 2, cy = static_cast<double>(from.height - 1) / 2;
    for (std::int64_t y = 0; y < from.height; ++y) {
      for (std::int64_t x = 0; x < from.width; ++x, to += from.channels) {
        const double dx = static_cast<double>(x) - cx, dy = static_cast<double>(y) - cy;
        mix(from, cosine * dx + sine * dy + cx, cosine * dy - sine * dx + cy, to);
      }
    }
  }
  /// The mean of the four pixels around (u, v).
  static void mix(const Picture& from, double u, double v, Pixel* to) {
    const double left = std::floor(u), top = std::floor(v);
    const double right_part = u - left, lower_part = v - top;
    const auto x = static_cast<std::int64_t>(left), y = static_cast<std::int64_t>(top);
    for (std::int64_t c = 0; c < from.channels; ++c) {
      const auto at = [&](std::int64_t column, std::int64_t row) -> double {
        if (column < 0 || column >= from.width || row < 0 || row >= from.height) return 0;
        return from.pixels[(row * from.width + column) * from.channels + c];
      };
      const double upper = at(x, y) * (1 - right_part) + at(x + 1, y) * right_part;
      const double lower = at(x, y + 1) * (1 - right_part) + at(x + 1, y + 1) * right_part;
      to[c] = rounded(upper * (1 - lower_part) + lower * lower_part);
    }
  }
  double degrees_;
};

double grey_of(const Pixel* pixel, std::int64_t channels) {
  if (channels == 3) return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
  double sum = 0;
  for (std::int64_t c = 0; c < channels; ++c) sum += pixel[c];
  return sum / static_cast<double>(channels);
}

class ColourJitter final : public ImageTransform {
 public:
  explicit ColourJitter(double strength) : ImageTransform("colour_jitter"), strength_(strength) {
    if (!(strength >= 0 && strength <= 1)) fail(ExitCode::usage, "colours changed by {}: wanted 0 to 1", strength);
  }

 private:
  void change(const Picture& from, const Bits& bits, Pixel* to) const override {
    const auto factor = [&](std::size_t k) { return between(bits[k], 1 - strength_, 1 + strength_); };
    const std::size_t bytes = from.bytes(), step = to_size(from.channels);
    for (std::size_t k = 0; k < bytes; ++k) to[k] = rounded(from.pixels[k] * factor(0));
    double mean = 0;
    for (std::size_t k = 0; k < bytes; k += step) mean += grey_of(to + k, from.channels);
    mean /= static_cast<double>(from.height * from.width);
    for (std::size_t k = 0; k < bytes; ++k) to[k] = rounded(mean + (to[k] - mean) * factor(1));
    if (from.channels != 3) return;
    for (std::size_t k = 0; k < bytes; k += step) {
      const double grey = grey_of(to + k, 3);
      for (std::size_t c = 0; c < 3; ++c) to[k + c] = rounded(grey + (to[k + c] - grey) * factor(2));
    }
  }
  double strength_;
};

struct Rectangle {
  std::int64_t left, top, width, height;  ///< Inside the picture.
};

void blacken(const Picture& picture, const Rectangle& part, Pixel* pixels) {
  for (std::int64_t y = part.top; y < part.top + part.height; ++y)
    std::memset(pixels + (y * picture.width + part.left) * picture.channels, 0, to_size(part.width * picture.channels));
}

class Erasing final : public ImageTransform {
 public:
  explicit Erasing(double probability) : ImageTransform("random_erasing"), probability_(probability) {
    if (!(probability >= 0 && probability <= 1))
      fail(ExitCode::usage, "a probability of {} is not in [0, 1]", probability);
  }

 private:
  void change(const Picture& from, const Bits& bits, Pixel* to) const override {
    std::memcpy(to, from.pixels, from.bytes());
    if (part(bits[0]) >= probability_) return;
    // Two numbers of 16 bits from one word: sides that are a little coarser do no harm.
    const double most = std::log(3.3);
    const Sides sides =
        sides_of(from.extent(), between(bits[1] << 16, 0.02, 0.33), between(bits[1] & 0xffff0000u, -most, most));
    blacken(from,
            {place(bits[2], from.width - sides.width), place(bits[3], from.height - sides.height), sides.width,
             sides.height},
            to);
  }
  double probability_;
};

class Cutout final : public ImageTransform {
 public:
  explicit Cutout(std::int64_t side) : ImageTransform("cutout"), side_(side) {
    if (side < 1) fail(ExitCode::usage, "a square of {} pixels a side: wanted at least 1", side);
  }

 private:
  void change(const Picture& from, const Bits& bits, Pixel* to) const override {
    std::memcpy(to, from.pixels, from.bytes());
    const auto range = [&](std::uint32_t word, std::int64_t size) {
      const std::int64_t begin = place(word, size - 1) - side_ / 2;
      const std::int64_t first = std::max<std::int64_t>(0, begin);
      return std::pair{first, std::min(size, begin + side_) - first};
    };
    const auto [left, width] = range(bits[0], from.width);
    const auto [top, height] = range(bits[1], from.height);
    blacken(from, {left, top, width, height}, to);
  }
  std::int64_t side_;
};

using Made = std::shared_ptr<const Transform>;

struct ListedWord {
  const char* name;
  std::optional<double> usual;  ///< Nothing: the number must be given.
  std::function<void(ImageChanges&, double)> add;
};

/// A word that adds a transform.
template <class Make>
ListedWord changing(const char* name, std::optional<double> usual, Make make) {
  return {name, usual, [make, name](ImageChanges& changes, double value) {
            if (changes.mixing.any())
              fail(ExitCode::usage, "the change '{}' of images stands behind mixup or cutmix: put those last", name);
            changes.list.push_back(make(value));
          }};
}

/// A word that sets how images are mixed.
ListedWord mixing(const char* name, double usual, double PairMixing::*alpha) {
  return {name, usual, [alpha, name](ImageChanges& changes, double value) {
            if (!(value > 0 && value <= 2))
              fail(ExitCode::usage, "{}={}: wanted the alpha of a Beta distribution above 0 and at most 2", name,
                   value);
            changes.mixing.*alpha = value;
          }};
}

/// A count of pixels given as a number.
std::int64_t whole(double value) {
  if (!(value >= 0 && value <= 65536 && value == std::floor(value)))
    fail(ExitCode::usage, "'{}' is no number of pixels; wanted 0 to 65536", value);
  return static_cast<std::int64_t>(value);
}

const std::vector<ListedWord>& words() {
  static const std::vector<ListedWord> all{
      changing("flip", 0.5, [](double p) { return random_horizontal_flip(p); }),
      changing("shift", 2, [](double pixels) { return random_crop({.padding = whole(pixels)}); }),
      changing("crop", 0.08, [](double area) { return random_resized_crop(area); }),
      changing("rotate", 15, [](double degrees) { return random_rotation(degrees); }),
      changing("jitter", 0.2, [](double strength) { return colour_jitter(strength); }),
      changing("erase", 0.25, [](double p) { return random_erasing(p); }),
      changing("cutout", std::nullopt, [](double side) { return cutout(whole(side)); }),
      mixing("mixup", 0.2, &PairMixing::mixup),
      mixing("cutmix", 1, &PairMixing::cutmix)};
  return all;
}

void add_change(ImageChanges& changes, const std::string& text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const std::string name = text.substr(0, equals);
  std::vector<std::string> names;
  for (const ListedWord& word : words()) {
    names.emplace_back(word.name);
    if (name != word.name) continue;
    if (equals == text.size() && word.usual) return word.add(changes, *word.usual);
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto found = std::from_chars(text.data() + std::min(equals + 1, text.size()), end, value);
    if (equals == text.size() || found.ec != std::errc{} || found.ptr != end)
      fail(ExitCode::usage, "the change '{}' of images needs a number: {}=NUMBER", text, name);
    return word.add(changes, value);
  }
  fail(ExitCode::usage, "there is no change '{}' of images; there are {}", text, fmt::join(names, ", "));
}

}  // namespace

Made random_resized_crop(double least_area) { return std::make_shared<ResizedCrop>(least_area); }
Made random_rotation(double degrees) { return std::make_shared<Rotation>(degrees); }
Made colour_jitter(double strength) { return std::make_shared<ColourJitter>(strength); }
Made random_erasing(double probability) { return std::make_shared<Erasing>(probability); }
Made cutout(std::int64_t side) { return std::make_shared<Cutout>(side); }

ImageChanges image_changes(const std::string& text) {
  ImageChanges changes;
  if (text.empty() || text == "none") return changes;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    add_change(changes, text.substr(begin, end - begin));
    begin = end + 1;
  }
  return changes;
}

}  // namespace trireme
