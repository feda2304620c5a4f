// The one home of HDF5 (serial C library). Every call is checked, serialised by one lock (the library's own thread
// safety is a build option), and the library's error text goes into our Error instead of onto standard error.
// Files are written for reading by mapping: contiguous datasets allocated at creation, or chunks that the caller has
// shuffled and deflated himself, no fill values, no time stamps (equal content gives equal bytes); contiguous_offset()
// and chunk_ranges() say where a dataset's elements lie in the file.
// Errors: reading throws ExitCode::corrupt_input, writing ExitCode::storage, with path, object and what was wanted.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/io/byte_range.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/shape.hpp"

namespace trireme::hdf5 {

struct DatasetInfo {
  DType dtype = DType::f32;
  Shape shape;
};

/// A dataset in chunks of rows.
struct ChunkForm {
  std::int64_t rows = 0;  ///< Of a chunk; 0: the dataset is contiguous.
  int level = 0;          ///< Of deflate.
};

struct Attribute {
  std::string name;
  std::variant<std::string, std::int64_t, std::vector<std::int64_t>> value;
};

class FileImage;

/// An open HDF5 file. `object` in its functions is "/" for the file itself or the name of a dataset. Move-only.
class File {
 public:
  /// A new file, replacing any old one.
  static File create(const std::string& path);
  /// An existing file, for reading. A missing, truncated or foreign file is an Error that says which.
  static File open(const std::string& path);

  /// A new file in memory, for a caller who writes the elements of its datasets and then the image to the disk himself.
  /// The image must outlive the file and is complete after close(); `path` is for messages.
  static File lay_out(FileImage& image, const std::string& path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();
  /// Closes; a written file is on the disk afterwards. Without it the destructor closes but cannot report a failure.
  void close();
  const std::string& path() const { return path_; }

  /// Several at once is much faster than each by itself.
  void write_attributes(const std::string& object, std::span<const Attribute> attributes);
  void write_string(const std::string& object, const std::string& name, std::string_view value);
  void write_i64(const std::string& object, const std::string& name, std::int64_t value);
  void write_f64(const std::string& object, const std::string& name, double value);
  void write_strings(const std::string& object, const std::string& name, const std::vector<std::string>& values);
  bool has_attribute(const std::string& object, const std::string& name) const;
  std::string read_string(const std::string& object, const std::string& name) const;
  std::int64_t read_i64(const std::string& object, const std::string& name) const;
  double read_f64(const std::string& object, const std::string& name) const;
  std::vector<std::string> read_strings(const std::string& object, const std::string& name) const;

  /// A contiguous dataset of at least one dim whose space is taken at once; `name` may contain '.', not '/'. Returns
  /// the byte of the file at which its elements will lie; 0 where it has none.
  std::int64_t create_dataset(const std::string& name, DType dtype, const Shape& shape);
  /// A dataset in chunks of form.rows <= shape[0] rows with the filters shuffle and deflate.
  void create_chunked(const std::string& name, DType dtype, const Shape& shape, const ChunkForm& form);
  /// The chunk that begins at row `first`, as the filters leave it: of whole form.rows rows, also the last one.
  void write_chunk(const std::string& name, std::int64_t first, std::span<const std::byte> packed);
  /// Rows of a chunk; 0 where the dataset is contiguous. corrupt_input for other chunks than create_chunked() makes.
  std::int64_t chunk_rows(const std::string& name) const;
  /// Where the chunks lie in the file, in the order of their rows.
  std::vector<ByteRange> chunk_ranges(const std::string& name) const;
  /// Rows [first, first + count) along dim 0; `data` holds count x (elements of a row) elements of the dataset's dtype.
  void write_rows(const std::string& name, std::int64_t first, std::int64_t count, const void* data);
  void read_rows(const std::string& name, std::int64_t first, std::int64_t count, void* data) const;
  std::vector<std::string> dataset_names() const;
  DatasetInfo info(const std::string& name) const;
  /// Byte offset of the first element in the file, so that the elements can be read by mapping. Throws where the
  /// dataset is not contiguous, or does not lie inside the file. 0 for an empty dataset.
  std::int64_t contiguous_offset(const std::string& name) const;

 private:
  enum class Mode { read, write, lay_out };
  struct Rows;
  File(std::string path, std::int64_t id, Mode mode) : path_(std::move(path)), id_(id), mode_(mode) {}
  void close_quietly() noexcept;
  void transfer(const std::string& name, const Rows& rows) const;

  std::string path_;
  std::int64_t id_ = -1;
  Mode mode_ = Mode::read;
};

}  // namespace trireme::hdf5
