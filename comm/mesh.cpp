#include "comm/mesh.hpp"

#include <utility>

#include "comm/self_communicator.hpp"
#include "core/base/checked.hpp"
#include "core/base/error.hpp"

namespace trireme {

MeshShape::MeshShape(int world_size, const MeshDegrees& degrees)
    : degrees_{degrees.pipe, degrees.data, degrees.context, degrees.tensor} {
  std::int64_t others = 1;
  for (std::size_t a = 0; a < axes; ++a) {
    const bool derived = names[a] == "data" && degrees_[a] == 0;
    if (degrees_[a] < 1 && !derived) {
      fail(ExitCode::usage, "the mesh axis {} has degree {}; use 1 or more", names[a], degrees_[a]);
    }
    if (names[a] != "data") others = checked_mul(others, degrees_[a]);
  }
  int& data = degrees_[index("data")];
  if (data == 0) {
    if (others > world_size || world_size % others != 0) {
      fail(
          ExitCode::usage,
          "pipe {} x context {} x tensor {} = {} does not divide the {} ranks of the job; start a multiple of {} ranks "
          "or change the degrees",
          degrees.pipe, degrees.context, degrees.tensor, others, world_size, others);
    }
    data = static_cast<int>(world_size / others);
  }
  const auto product = checked_mul(others, data);
  if (product != world_size) {
    fail(ExitCode::usage,
         "the mesh {} = {} does not match the {} ranks of the job; start {} ranks or change the degrees", text(),
         product, world_size, product);
  }
}

std::size_t MeshShape::index(std::string_view axis) {
  for (std::size_t a = 0; a < axes; ++a) {
    if (names[a] == axis) return a;
  }
  fail(ExitCode::usage, "there is no mesh axis named {}; the axes are pipe, data, context, tensor", axis);
}

int MeshShape::stride(std::size_t axis) const {
  int out = 1;
  for (std::size_t a = axis + 1; a < axes; ++a) out *= degrees_[a];
  return out;
}

int MeshShape::coordinate(int rank, std::string_view axis) const {
  const auto a = index(axis);
  return rank / stride(a) % degrees_[a];
}

int MeshShape::group(int rank, std::string_view axis) const {
  return rank - coordinate(rank, axis) * stride(index(axis));
}

std::string MeshShape::text() const {
  std::string out;
  for (std::size_t a = 0; a < axes; ++a) out += fmt::format("{}{} {}", a == 0 ? "" : " x ", names[a], degrees_[a]);
  return out;
}

Mesh::Mesh(std::shared_ptr<Communicator> world, const MeshDegrees& degrees)
    : world_(std::move(world)), shape_(world_->size(), degrees) {
  const int rank = world_->rank();
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    const auto name = MeshShape::names[a];
    if (shape_.degree(name) == world_->size()) {
      axes_[a] = world_;
    } else if (shape_.degree(name) == 1) {
      const Communicator::Identity self{
          .name = world_->name() + "/" + std::string(name), .rank = 0, .hosts = {world_->host()}};
      axes_[a] = std::make_shared<SelfCommunicator>(self, world_->shared_log(), world_->compute());
    } else {
      axes_[a] = world_->split(shape_.group(rank, name), rank, std::string(name));
    }
  }
}

const std::shared_ptr<Communicator>& Mesh::shared_axis(std::string_view name) const {
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    if (MeshShape::names[a] == name) return axes_[a];
  }
  fail(ExitCode::usage, "there is no mesh axis named {}; the axes are pipe, data, context, tensor", name);
}

}  // namespace trireme
