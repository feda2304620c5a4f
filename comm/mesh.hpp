// The ranks as a grid with named axes: pipe, data, context, tensor, in this order, the last one varying fastest, so
// that ranks of the tensor axis are neighbours on a host. Each axis is a communicator of the ranks that differ in it
// alone.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "comm/communicator.hpp"

namespace trireme {

/// How many ranks each axis has. `data` 0 means: whatever remains of the world.
struct MeshDegrees {
  int pipe = 1;
  int data = 0;
  int context = 1;
  int tensor = 1;
};

/// The arithmetic of a mesh, without communicators.
class MeshShape {
 public:
  static constexpr int axes = 4;
  static constexpr std::array<std::string_view, axes> names{"pipe", "data", "context", "tensor"};

  /// Throws Error(usage) with the product and the remedy when the degrees do not multiply to the world's size.
  MeshShape(int world_size, const MeshDegrees& degrees);
  int degree(std::string_view axis) const { return degrees_[index(axis)]; }
  /// Place of a world rank along an axis.
  int coordinate(int rank, std::string_view axis) const;
  /// Equal for ranks that differ along this axis alone.
  int group(int rank, std::string_view axis) const;
  /// "pipe 1 x data 4 x context 1 x tensor 1".
  std::string text() const;

 private:
  static std::size_t index(std::string_view axis);
  int stride(std::size_t axis) const;
  std::array<int, axes> degrees_{};
};

class Mesh {
 public:
  /// Collective over `world`.
  Mesh(std::shared_ptr<Communicator> world, const MeshDegrees& degrees);
  Communicator& world() const { return *world_; }
  const MeshShape& shape() const { return shape_; }
  int degree(std::string_view axis) const { return shape_.degree(axis); }
  int coordinate(std::string_view axis) const { return shape_.coordinate(world_->rank(), axis); }
  /// The ranks that differ from this one along `axis` alone; a communicator of one where the degree is 1.
  Communicator& axis(std::string_view name) const { return *shared_axis(name); }
  const std::shared_ptr<Communicator>& shared_axis(std::string_view name) const;

 private:
  std::shared_ptr<Communicator> world_;
  MeshShape shape_;
  std::array<std::shared_ptr<Communicator>, MeshShape::axes> axes_;
};

}  // namespace trireme
