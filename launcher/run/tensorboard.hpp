// Writes event files that TensorBoard shows, without a protobuf library. Each record goes out whole by one write(2):
// what was written before a kill stays readable, and so is a file that is still growing. Writing never ends a training:
// a failure of the storage is one warning, and then the writer is off. docs/tensorboard.md says what a run writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/png.hpp"
#include "launcher/run/histogram.hpp"

namespace trireme {

struct TensorBoardSettings {
  std::string folder = {};      ///< Made where it is absent; its event files are one run in TensorBoard.
  std::int64_t first_step = 0;  ///< Resumed at: what an interrupted run wrote of later steps is dropped.
};

struct TaggedValue {
  std::string_view tag;
  double value = 0;
};

/// One thread writes. Tags are names with slashes; TensorBoard groups by what stands before the first slash.
class TensorBoardWriter {
 public:
  /// Takes the steps that will be computed again out of the folder's event files and opens a further one,
  /// events.out.tfevents.SECONDS.HOST.PID, which sorts behind them. Never throws for the storage.
  explicit TensorBoardWriter(const TensorBoardSettings& settings);
  ~TensorBoardWriter();
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  TensorBoardWriter& operator=(const TensorBoardWriter&) = delete;

  /// Stored as f32; a value that is not finite is shown as such.
  void scalar(std::string_view tag, std::int64_t step, double value);
  /// Several in one record.
  void scalars(std::int64_t step, const std::vector<TaggedValue>& values);
  /// Values that were not finite become the scalar TAG/not_finite, which is absent where there are none.
  void histogram(std::string_view tag, std::int64_t step, const Histogram& histogram);
  /// Left out, with one warning, in a build without libpng or where the image cannot be encoded.
  void image(std::string_view tag, std::int64_t step, const ImageView& image);
  void text(std::string_view tag, std::int64_t step, std::string_view markdown);
  /// Makes what was written survive a power cut; a mere kill loses nothing anyway.
  void flush();

  /// False once the storage has failed: nothing more is written.
  bool on() const { return file_ >= 0; }
  /// The first step TensorBoard takes from this file: 0, or the one after `first_step`.
  std::int64_t start_step() const { return start_step_; }
  const std::string& path() const { return path_; }

 private:
  void open(const std::string& folder);
  void record(std::string_view event);
  void turn_off(std::string_view reason);

  std::int64_t start_step_ = 0;
  std::string path_;
  int file_ = -1;
  bool image_warned_ = false;
};

}  // namespace trireme
