#include "core/tensor/tensor.hpp"

#include <cstring>

#include "core/base/checked.hpp"
#include "core/device/cuda.hpp"

namespace trireme {

DType parse_dtype(std::string_view name) {
  for (int k = 0; k <= static_cast<int>(DType::u16); ++k)
    if (name_of(static_cast<DType>(k)) == name) return static_cast<DType>(k);
  fail(ExitCode::usage, "element type '{}' is unknown; use f32, f64, bf16, f16, i32, i64, u8 or u16", name);
}

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) {
  require(extents.size() <= max_dims, "a shape of {} dims: at most {} are supported", extents.size(),
          static_cast<int>(max_dims));
  for (const std::int64_t extent : extents) {
    require(extent >= 0, "a shape with the extent {}: extents must not be negative", extent);
    extents_[static_cast<std::size_t>(dims_++)] = extent;
    elements_ = checked_mul(elements_, extent);
  }
}

std::int64_t Shape::operator[](int dim) const {
  const int at = dim < 0 ? dim + dims_ : dim;
  require(at >= 0 && at < dims_, "dim {} of the shape {} does not exist", dim, *this);
  return extents_[static_cast<std::size_t>(at)];
}

std::int64_t Shape::elements_from(int first) const {
  std::int64_t out = 1;
  for (int k = first; k < dims_; ++k) out *= extents_[static_cast<std::size_t>(k)];
  return out;
}

Shape Shape::with(int dim, std::int64_t extent) const {
  std::array<std::int64_t, max_dims> out = extents_;
  const int at = dim < 0 ? dim + dims_ : dim;
  require(at >= 0 && at < dims_, "dim {} of the shape {} does not exist", dim, *this);
  out[static_cast<std::size_t>(at)] = extent;
  return Shape(std::span<const std::int64_t>(out.data(), static_cast<std::size_t>(dims_)));
}

Shape Shape::tail() const {
  require(dims_ > 0, "a scalar has no outermost dim to take off");
  return Shape(extents().subspan(1));
}

std::string Shape::text() const { return fmt::format("({})", fmt::join(extents(), ", ")); }

bool operator==(const Shape& a, const Shape& b) {
  return a.dims_ == b.dims_ && std::equal(a.extents().begin(), a.extents().end(), b.extents().begin());
}

Tensor::Tensor(std::shared_ptr<Buffer> buffer, std::size_t offset, Shape shape, DType dtype)
    : buffer_(std::move(buffer)), offset_(offset), shape_(shape), dtype_(dtype) {
  require(offset_ + bytes() <= buffer_->bytes(), "a tensor {} of {} at byte {} does not fit in a buffer of {} bytes",
          shape_, name_of(dtype_), offset_, buffer_->bytes());
  require(offset_ % size_of(dtype_) == 0, "a tensor of {} at byte {} is not aligned to its elements", name_of(dtype_),
          offset_);
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  const auto bytes = to_size(checked_mul(shape.elements(), static_cast<std::int64_t>(size_of(dtype))));
  return {system_allocator(device).allocate(bytes), 0, shape, dtype};
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor out = empty(shape, dtype, device);
  out.fill_zero();
  return out;
}

void Tensor::fill_from_host(const void* values, std::size_t count) const {
  require(static_cast<std::int64_t>(count) == elements(), "a tensor {} wants {} values, but {} were given", shape_,
          elements(), count);
  copy_bytes({raw(), device()}, {values, Device::cpu()}, bytes());
}

Device Tensor::device() const {
  require(buffer_ != nullptr, "an empty tensor handle has no device: the tensor was never made");
  return buffer_->device();
}

void* Tensor::raw() const {
  if (!buffer_ || !buffer_->data()) return nullptr;
  return static_cast<std::byte*>(buffer_->data()) + offset_;
}

void Tensor::check_type(DType wanted) const {
  require(dtype_ == wanted, "a tensor of {} was accessed as {}", name_of(dtype_), name_of(wanted));
}

void Tensor::check_host() const {
  require(device().kind == Device::Kind::cpu, "the elements of a tensor on {} were accessed on the host; copy it first",
          device().name());
}

void Tensor::check_has_elements() const {
  require(!device().is_meta(), "a tensor {} on the meta device has a shape but no elements", shape_);
}

void Tensor::copy_to_host(void* out) const { copy_bytes({out, Device::cpu()}, {raw(), device()}, bytes()); }

double Tensor::item() const {
  require(elements() == 1, "item() of a tensor {}: it must have one element", shape_);
  return with_floating(dtype_, "item", [&](auto zero) { return static_cast<double>(to_vector<decltype(zero)>()[0]); });
}

Tensor Tensor::reshape(const Shape& shape) const {
  require(shape.elements() == elements(), "reshaping {} into {}: the element counts differ", shape_, shape);
  Tensor out = *this;
  out.shape_ = shape;
  return out;
}

Tensor Tensor::slice(std::int64_t first, std::int64_t count) const {
  require(shape_.dims() > 0, "slicing a scalar: it has no dim 0");
  require(first >= 0 && count >= 0 && first + count <= shape_[0], "slicing rows [{}, {}) of a tensor {}", first,
          first + count, shape_);
  Tensor out = *this;
  out.shape_ = shape_.with(0, count);
  out.offset_ += to_size(first * shape_.elements_from(1)) * size_of(dtype_);
  return out;
}

void Tensor::check_like(const Tensor& other) const {
  require(other.dtype() == dtype_ && other.elements() == elements(), "copying a tensor {} of {} into {} of {}",
          other.shape(), name_of(other.dtype()), shape_, name_of(dtype_));
}

void Tensor::copy_from(const Tensor& other) const {
  check_like(other);
  copy_bytes({raw(), device()}, {other.raw(), other.device()}, bytes());
  buffer_->bump_version();
}

void Tensor::copy_from(const Tensor& other, const Stream& stream) const {
  check_like(other);
  copy_bytes({raw(), device()}, {other.raw(), other.device()}, bytes(), stream);
  buffer_->bump_version();
}

void Tensor::fill_zero(const Stream& stream) const {
  if (!device().is_cuda()) return fill_zero();
  require(stream.device() == device(), "zeroing a tensor on {} on a stream of {}", device().name(),
          stream.device().name());
  cuda::fill_zero_async(raw(), bytes(), stream.native());
  buffer_->bump_version();
}

void Tensor::fill_zero() const {
  if (device().is_meta() || bytes() == 0) return;
  if (device().is_cuda()) {
    cuda::fill_zero(raw(), bytes());
  } else {
    std::memset(raw(), 0, bytes());
  }
  buffer_->bump_version();
}

Tensor Tensor::clone(Device to) const {
  Tensor out = empty(shape_, dtype_, to);
  copy_bytes({out.raw(), to}, {raw(), device()}, bytes());
  return out;
}

}  // namespace trireme
