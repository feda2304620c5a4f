// What a disk may hold when the power goes. Operations written down by io_shim are replayed over the state before them,
// and of those that no fsync covers yet any part may have reached the disk. Stricter than any file system in use:
//   - fsync of a file makes its bytes and its size last, not its name;
//   - fsync of a folder makes the names in it last (created, renamed, removed, made), not the folder's own name, and
//   not
//     what the files hold; a rename between two folders lasts when both were synced, and is never half done;
//   - until then any subset of the names' changes may be there, changes of one name in their order;
//   - unsynced bytes may be there or not in any order, in pieces of a sector, or be zeros under the new size.
//   - bytes that an fsync failed to write may be lost for good: what is never written again no later fsync brings back.
// The limit of the model: it believes an fsync that succeeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/io/hash.hpp"
#include "tests/support/io_journal.hpp"

namespace trireme {

struct DiskOperation {
  IoRecord record;
  std::string path;
  std::string other;
  std::string data;
  /// "write step_1/a 100 bytes at 0", for messages.
  std::string text() const;
};

/// All records of a journal, failed operations among them.
std::vector<DiskOperation> read_journal(const std::string& file);

/// Every path below the root in order: the bytes of a file, nothing for a folder.
using DiskImage = std::map<std::string, std::optional<std::string>>;

DiskImage read_image(const std::filesystem::path& root);
/// Makes `root` hold `image` and nothing else.
void write_image(const DiskImage& image, const std::filesystem::path& root);
/// The same for a root that is there and empty.
void fill_image(const DiskImage& image, const std::filesystem::path& root);
Hash128 hash_image(const DiskImage& image);

class DiskModel {
 public:
  enum class ChangeKind { add, remove, move, exchange, write, resize, extend };

  /// One thing that reaches the disk at once or not.
  struct Change {
    ChangeKind kind = ChangeKind::write;
    std::size_t at = 0;                     ///< Index of its operation.
    std::size_t durable = ~std::size_t{0};  ///< Index of the fsync that covers it.
    int node = 0;                           ///< The file or folder it is about.
    int folder = 0;                         ///< For names: where the name is,
    std::string name = {};                  ///< and the name; for move and exchange
    int other_folder = 0;                   ///< the second one.
    std::string other = {};
    bool synced = false;        ///< Whether `folder` was synced since,
    bool other_synced = false;  ///< and `other_folder`.
    bool doomed = false;        ///< An fsync of these bytes failed.
    std::int64_t offset = 0;
    std::int64_t length = 0;
    std::string data = {};
    bool is_name() const { return kind <= ChangeKind::exchange; }
  };

  /// What became of a change that nothing covered. A write that is applied has its size; of its bytes those sectors
  /// are there whose bit (number modulo 64) is set, the others are as before or, where nothing was, zeros.
  struct Fate {
    bool applied = true;
    std::uint64_t sectors = ~std::uint64_t{0};
  };
  using Choose = std::function<Fate(const Change&)>;

  DiskModel(const DiskImage& before, const std::vector<DiskOperation>& operations);

  /// How many operations there are; a state after n of them has n in [0, size()].
  std::size_t size() const { return size_; }
  /// Those of the first `done` operations' changes that no fsync among them covers.
  std::vector<const Change*> pending(std::size_t done) const;
  /// The disk after a power cut behind the first `done` operations.
  DiskImage state(std::size_t done, const Choose& choose) const;

 private:
  enum class NodeKind { file, folder };
  struct Node {
    NodeKind kind = NodeKind::file;
    std::string bytes = {};
    std::map<std::string, int> names = {};
  };
  using Nodes = std::vector<Node>;

  int add_node(NodeKind kind);
  static int find(const Nodes& nodes, const std::string& path);
  void enter(const DiskOperation& operation, std::size_t at);
  void keep(const Change& change);
  void cover(int node, std::size_t at);
  void doom(int node);
  static void apply(Nodes& nodes, const Change& change, std::uint64_t sectors);
  static void collect(const Nodes& nodes, const std::pair<int, std::string>& from, DiskImage& image);

  Nodes before_;  // with empty nodes for all that is created later
  Nodes now_;     // while the journal is read
  std::vector<Change> changes_;
  std::size_t size_ = 0;
};

}  // namespace trireme
