// What io_shim.cpp writes down and disk_model.cpp reads: one record per operation on files below the watched folder, in
// the order they were done. Plain values, because the shim is loaded into foreign processes and knows no library of
// ours.
#pragma once

#include <cstdint>

namespace trireme {

enum class IoKind : std::uint32_t {
  open,  ///< `created` and `truncated` say what it changed.
  close,
  write,     ///< `length` bytes at `offset`, which follow the names.
  resize,    ///< To `length` bytes.
  extend,    ///< To `length` bytes at least.
  sync,      ///< Of a file or a folder.
  rename,    ///< Of path to `other`.
  exchange,  ///< Of path and `other`.
  link,      ///< Of path as `other`.
  unlink,
  rmdir,
  mkdir,
  mark,  ///< No operation: a word of the program about how far it is, in `other`.
};

/// Fixed part of a record; `path_bytes` + `other_bytes` + `data_bytes` bytes follow. Paths start at the watched folder.
struct IoRecord {
  IoKind kind = IoKind::open;
  std::int32_t error = 0;  ///< 0, or the errno it failed with; then it changed nothing.
  std::int64_t offset = 0;
  std::int64_t length = 0;
  std::uint32_t created = 0;
  std::uint32_t truncated = 0;
  std::uint32_t path_bytes = 0;
  std::uint32_t other_bytes = 0;
  std::int64_t data_bytes = 0;
};

}  // namespace trireme
