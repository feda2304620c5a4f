#include "tests/support/disk_model.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#include "core/base/error.hpp"
#include "core/io/file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t sector = 512;

std::string take(const std::string& text, std::size_t& at, std::size_t bytes) {
  require(bytes <= text.size() - at, "the journal ends within a record");
  at += bytes;
  return text.substr(at - bytes, bytes);
}

/// The folder a path lies in, and its name there.
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

std::string DiskOperation::text() const {
  static constexpr std::array<const char*, 13> words = {"open", "close", "write",  "resize", "extend", "sync", "rename",
                                                        "swap", "link",  "unlink", "rmdir",  "mkdir",  "mark"};
  std::string text = fmt::format("{} {}", words.at(static_cast<std::size_t>(record.kind)), path);
  if (!other.empty()) text += fmt::format(" {}", other);
  if (record.kind == IoKind::write) text += fmt::format(" ({} bytes at {})", record.length, record.offset);
  if (record.kind == IoKind::resize || record.kind == IoKind::extend) text += fmt::format(" ({})", record.length);
  if (record.created != 0) text += " (new)";
  if (record.error != 0) text += fmt::format(": {}", std::strerror(record.error));
  return text;
}

std::vector<DiskOperation> read_journal(const std::string& file) {
  const std::string text = read_file(file);
  std::vector<DiskOperation> operations;
  for (std::size_t at = 0; at < text.size();) {
    DiskOperation operation;
    std::memcpy(&operation.record, take(text, at, sizeof operation.record).data(), sizeof operation.record);
    operation.path = take(text, at, operation.record.path_bytes);
    operation.other = take(text, at, operation.record.other_bytes);
    operation.data = take(text, at, static_cast<std::size_t>(operation.record.data_bytes));
    operations.push_back(std::move(operation));
  }
  return operations;
}

DiskImage read_image(const fs::path& root) {
  DiskImage image;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = entry.path().lexically_relative(root).string();
    image[path] = entry.is_directory() ? std::nullopt : std::optional(read_file(entry.path().string()));
  }
  return image;
}

void write_image(const DiskImage& image, const fs::path& root) {
  fs::remove_all(root);
  fs::create_directories(root);
  fill_image(image, root);
}

void fill_image(const DiskImage& image, const fs::path& root) {
  for (const auto& [path, bytes] : image) {
    if (!bytes) {
      fs::create_directory(root / path);
      continue;
    }
    std::ofstream file(root / path, std::ios::binary);
    file.write(bytes->data(), static_cast<std::streamsize>(bytes->size()));
    require(file.flush().good(), "writing {} failed", (root / path).string());
  }
}

Hash128 hash_image(const DiskImage& image) {
  Hasher hasher;
  for (const auto& [path, bytes] : image) {
    const std::array<std::size_t, 2> sizes = {path.size(), bytes ? bytes->size() : ~std::size_t{0}};
    hasher.update(sizes.data(), sizeof sizes);
    hasher.update(path.data(), path.size());
    if (bytes) hasher.update(bytes->data(), bytes->size());
  }
  return hasher.digest();
}

DiskModel::DiskModel(const DiskImage& before, const std::vector<DiskOperation>& operations) : size_(operations.size()) {
  add_node(NodeKind::folder);
  for (const auto& [path, bytes] : before) {
    const int node = add_node(bytes ? NodeKind::file : NodeKind::folder);
    const auto [folder, name] = split(path);
    if (bytes) before_[static_cast<std::size_t>(node)].bytes = *bytes;
    before_[static_cast<std::size_t>(find(before_, folder))].names[name] = node;
  }
  now_ = before_;
  for (std::size_t at = 0; at < operations.size(); ++at) {
    const IoRecord& record = operations[at].record;
    if (record.error == 0) enter(operations[at], at);
    if (record.kind == IoKind::sync && record.error != 0 && record.error != EINTR)
      doom(find(now_, operations[at].path));
  }
}

int DiskModel::add_node(NodeKind kind) {
  before_.push_back({.kind = kind});
  now_.push_back({.kind = kind});
  return static_cast<int>(before_.size()) - 1;
}

int DiskModel::find(const Nodes& nodes, const std::string& path) {
  int node = 0;
  for (const auto& part : fs::path(path)) {
    if (part == ".") continue;
    const auto& names = nodes[static_cast<std::size_t>(node)].names;
    const auto found = names.find(part.string());
    if (found == names.end()) return -1;
    node = found->second;
  }
  return node;
}

void DiskModel::enter(const DiskOperation& operation, std::size_t at) {
  const auto [folder, name] = split(operation.path);
  const auto [other_folder, other] = split(operation.other);
  Change change{.at = at, .node = find(now_, operation.path), .folder = find(now_, folder), .name = name};
  change.other_folder = find(now_, other_folder);
  change.other = other;
  change.offset = operation.record.offset;
  change.length = operation.record.length;
  const auto keep_as = [&](ChangeKind kind) {
    change.kind = kind;
    keep(change);
  };
  switch (operation.record.kind) {
    case IoKind::open:
      if (operation.record.created != 0) change.node = add_node(NodeKind::file);
      if (operation.record.created != 0) return keep_as(ChangeKind::add);
      change.length = 0;
      if (operation.record.truncated != 0) keep_as(ChangeKind::resize);
      return;
    case IoKind::mkdir:
      change.node = add_node(NodeKind::folder);
      return keep_as(ChangeKind::add);
    case IoKind::link:
      std::swap(change.folder, change.other_folder);
      std::swap(change.name, change.other);
      return keep_as(ChangeKind::add);
    case IoKind::unlink:
    case IoKind::rmdir:
      return keep_as(ChangeKind::remove);
    case IoKind::rename:
      return keep_as(ChangeKind::move);
    case IoKind::exchange:
      return keep_as(ChangeKind::exchange);
    case IoKind::write:
      change.data = operation.data;
      return keep_as(ChangeKind::write);
    case IoKind::resize:
      return keep_as(ChangeKind::resize);
    case IoKind::extend:
      return keep_as(ChangeKind::extend);
    case IoKind::sync:
      return cover(change.node, at);
    case IoKind::close:
    case IoKind::mark:
      return;
  }
}

void DiskModel::keep(const Change& change) {
  if (change.node < 0) return;  // a file without a name, which no state can show
  if (change.is_name()) apply(now_, change, 0);
  changes_.push_back(change);
}

void DiskModel::doom(int node) {
  for (Change& change : changes_) {
    if (!change.is_name() && change.node == node && change.durable == ~std::size_t{0}) change.doomed = true;
  }
}

void DiskModel::cover(int node, std::size_t at) {
  for (Change& change : changes_) {
    if (change.durable <= at || change.doomed) continue;
    if (!change.is_name()) {
      if (change.node == node) change.durable = at;
      continue;
    }
    const bool two = change.kind == ChangeKind::move || change.kind == ChangeKind::exchange;
    change.synced = change.synced || change.folder == node;
    change.other_synced = change.other_synced || !two || change.other_folder == node;
    if (change.synced && change.other_synced) change.durable = at;
  }
}

void DiskModel::apply(Nodes& nodes, const Change& change, std::uint64_t sectors) {
  auto& names = nodes[static_cast<std::size_t>(change.folder)].names;
  auto& others = nodes[static_cast<std::size_t>(change.other_folder)].names;
  std::string& bytes = nodes[static_cast<std::size_t>(change.node)].bytes;
  const std::size_t offset = static_cast<std::size_t>(change.offset), length = static_cast<std::size_t>(change.length);
  switch (change.kind) {
    case ChangeKind::add:
      names[change.name] = change.node;
      break;
    case ChangeKind::remove:
      names.erase(change.name);
      break;
    case ChangeKind::move:
      names.erase(change.name);
      others[change.other] = change.node;
      break;
    case ChangeKind::exchange:
      std::swap(names[change.name], others[change.other]);
      break;
    case ChangeKind::resize:
      bytes.resize(length);
      break;
    case ChangeKind::extend:
      bytes.resize(std::max(bytes.size(), length));
      break;
    case ChangeKind::write:
      bytes.resize(std::max(bytes.size(), offset + change.data.size()));
      for (std::size_t at = offset, end = offset + change.data.size(); at < end;) {
        const std::size_t next = std::min(end, (at / sector + 1) * sector);
        if ((sectors >> (at / sector % 64) & 1) != 0) bytes.replace(at, next - at, change.data, at - offset, next - at);
        at = next;
      }
      break;
  }
}

std::vector<const DiskModel::Change*> DiskModel::pending(std::size_t done) const {
  std::vector<const Change*> found;
  for (const Change& change : changes_) {
    if (change.at < done && change.durable >= done) found.push_back(&change);
  }
  return found;
}

DiskImage DiskModel::state(std::size_t done, const Choose& choose) const {
  Nodes nodes = before_;
  // Changes of one name reach the disk in their order: behind one that did not, none does.
  std::set<std::pair<int, std::string>> stuck;
  for (const Change& change : changes_) {
    if (change.at >= done) break;
    const bool durable = change.durable < done;
    Fate fate = durable ? Fate{} : choose(change);
    if (change.is_name()) {
      const bool two = change.kind == ChangeKind::move || change.kind == ChangeKind::exchange;
      const std::pair first(change.folder, change.name);
      const std::pair second = two ? std::pair(change.other_folder, change.other) : first;
      if (!durable && (stuck.contains(first) || stuck.contains(second))) fate.applied = false;
      if (!fate.applied) stuck.insert({first, second});
    }
    if (fate.applied) apply(nodes, change, fate.sectors);
  }
  DiskImage image;
  collect(nodes, {0, ""}, image);
  return image;
}

void DiskModel::collect(const Nodes& nodes, const std::pair<int, std::string>& from, DiskImage& image) {
  for (const auto& [name, node] : nodes[static_cast<std::size_t>(from.first)].names) {
    const std::string path = from.second.empty() ? name : from.second + "/" + name;
    const Node& found = nodes[static_cast<std::size_t>(node)];
    image[path] = found.kind == NodeKind::folder ? std::nullopt : std::optional(found.bytes);
    collect(nodes, {node, path}, image);
  }
}

}  // namespace trireme
