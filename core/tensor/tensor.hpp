// A tensor: a cheap handle to a Buffer with shape, dtype and device. Always contiguous and row-major; a view reshapes
// or slices dim 0. Copying a Tensor shares the memory. Images are (B, H, W, C), filters (O, H, W, I).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/device/memory.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme {

class Tensor {
 public:
  Tensor() = default;
  /// A view of `buffer` from byte `offset` on; throws where it does not fit or is not aligned to the dtype.
  Tensor(std::shared_ptr<Buffer> buffer, std::size_t offset, Shape shape, DType dtype);
  /// Uninitialised memory of `device` from the system; activations come from a Context instead.
  static Tensor empty(const Shape& shape, DType dtype, Device device = Device::cpu());
  static Tensor zeros(const Shape& shape, DType dtype, Device device = Device::cpu());
  /// Copies host values; values.size() must equal the element count.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu()) {
    Tensor out = empty(shape, dtype_of<T>, device);
    out.fill_from_host(values.data(), values.size());
    return out;
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = Device::cpu()) {
    return from(std::span<const T>(values), shape, device);
  }

  explicit operator bool() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const;
  std::int64_t elements() const { return shape_.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }
  std::size_t offset() const { return offset_; }
  std::uint64_t version() const { return buffer_ ? buffer_->version() : 0; }

  /// The elements' address on the tensor's device (null on meta); throws if T is not its dtype.
  template <class T>
  T* data() const {
    check_type(dtype_of<T>);
    return static_cast<T*>(raw());
  }
  void* raw() const;
  /// The elements of a CPU tensor.
  template <class T>
  std::span<T> span() const {
    check_host();
    return {data<T>(), static_cast<std::size_t>(elements())};
  }
  /// A host copy of the elements, from any device; throws on meta.
  template <class T>
  std::vector<T> to_vector() const {
    check_type(dtype_of<T>);
    check_has_elements();
    std::vector<T> out(static_cast<std::size_t>(elements()));
    copy_to_host(out.data());
    return out;
  }
  /// The only element of a one-element floating tensor, from any device.
  double item() const;

  /// The same elements under another shape of equal count.
  Tensor reshape(const Shape& shape) const;
  /// Rows [first, first + count) of dim 0.
  Tensor slice(std::int64_t first, std::int64_t count) const;
  /// Copies all elements from a tensor of the same dtype and element count, from any device; counts the version up.
  void copy_from(const Tensor& other) const;
  void fill_zero() const;
  /// The same in the order of `stream`, see copy_bytes().
  void copy_from(const Tensor& other, const Stream& stream) const;
  void fill_zero(const Stream& stream) const;
  /// A new tensor on `device` with the same elements.
  Tensor clone(Device device) const;
  Tensor clone() const { return clone(device()); }

 private:
  void fill_from_host(const void* values, std::size_t count) const;
  void check_type(DType wanted) const;
  void check_host() const;
  void check_has_elements() const;
  void check_like(const Tensor& other) const;
  void copy_to_host(void* out) const;

  std::shared_ptr<Buffer> buffer_;
  std::size_t offset_ = 0;
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace trireme
