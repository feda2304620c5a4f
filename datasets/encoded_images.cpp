#include "datasets/encoded_images.hpp"

#include "core/base/error.hpp"

namespace trireme {
namespace {

class Decoded final : public Transform {
 public:
  RowType output(const RowType& in) const override {
    require(in.encoded(), "rows of {} {} are no encoded images", name_of(in.dtype), in.shape);
    return {in.dtype, in.shape};
  }
  bool takes_encoded() const override { return true; }
  void apply(const TransformInput& in, std::byte* out) const override {
    const Shape& shape = in.type.shape;
    const ResizeTarget target{.width = shape[1], .height = shape[0]};
    decode_row(
        in,
        [&](ImageExtent image) {
          return PartChoice{window_of(image, target), PartChoice::Edges::image};
        },
        reinterpret_cast<std::uint8_t*>(out));
  }
};

}  // namespace

std::shared_ptr<const Transform> decoded_image() { return std::make_shared<Decoded>(); }

void decode_row(const TransformInput& in, const std::function<PartChoice(ImageExtent)>& choose, std::uint8_t* out) {
  static const std::string name = "the encoded image";
  static thread_local DecodedPart part;  // large: its memory is used again
  const Shape& shape = in.type.shape;
  const ImageExtent extent{shape[1], shape[0]};
  decode_part({reinterpret_cast<const char*>(in.data), in.bytes}, {shape[2], extent, choose}, name, part);
  resize_window({part.image.view(), part.window, part.bounds}, extent, out);
}

}  // namespace trireme
