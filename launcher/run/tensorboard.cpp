// Field numbers are those of TensorFlow's event.proto, summary.proto, histogram.proto and tensor.proto.
#include "launcher/run/tensorboard.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/io/file.hpp"
#include "launcher/run/event_file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::system_clock;

template <class T>
void append_bytes_of(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A protobuf message in its wire form, field by field; a message inside another is a field of bytes.
class Message {
 public:
  Message& integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real(int field, double value) {
    key(field, 1);
    append_bytes_of(text_, value);
    return *this;
  }
  Message& real32(int field, double value) {
    key(field, 5);
    append_bytes_of(text_, static_cast<float>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& reals(int field, const std::vector<double>& values) {
    return bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double)});
  }
  std::string_view text() const { return text_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<std::uint64_t>(field << 3 | wire_type)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

Message event_at(std::int64_t step) {
  Message event;
  event.real(1, std::chrono::duration<double>(Clock::now().time_since_epoch()).count());
  event.integer(2, step);
  return event;
}

void add_scalar(Message& summary, std::string_view tag, double value) {
  summary.bytes(1, Message().bytes(1, tag).real32(2, value).text());
}

/// TensorBoard reads the files of a folder in the order of their names. So ours comes last even where the clock of this
/// host is behind that of the run before, or both began in one second.
std::int64_t name_seconds(const std::string& folder) {
  auto seconds = static_cast<std::int64_t>(Clock::to_time_t(Clock::now()));
  for (const std::string& path : event_files(folder)) {
    const std::string name = fs::path(path).filename().string();
    std::int64_t other = 0;
    std::from_chars(name.data() + event_file_prefix.size(), name.data() + name.size(), other);
    seconds = std::max(seconds, other + 1);
  }
  return seconds;
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const TensorBoardSettings& settings)
    : start_step_(settings.first_step > 0 ? settings.first_step + 1 : 0) {
  try {
    open(settings.folder);
  } catch (const std::exception& error) {
    turn_off(error.what());
  }
  record(event_at(0).bytes(3, "brain.Event:2").text());
  // For a TensorBoard that has read the dropped events before: at a start it forgets what it knows from that step on.
  // It stands in every file, because the first one TensorBoard meets counts as that of the run, and drops nothing.
  record(event_at(start_step_).bytes(7, Message().integer(1, 1).text()).text());
}

TensorBoardWriter::~TensorBoardWriter() {
  if (file_ >= 0) ::close(file_);
}

void TensorBoardWriter::open(const std::string& folder) {
  // Like the rest of a run: for its owner alone.
  if (fs::create_directories(folder)) fs::permissions(folder, fs::perms::owner_all);
  drop_events_from(folder, start_step_);
  path_ = fmt::format("{}/{}{:010}.{}.{}", folder, event_file_prefix, name_seconds(folder), host_name(), ::getpid());
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) fail(ExitCode::storage, "cannot create '{}': {}", path_, std::strerror(errno));
}

void TensorBoardWriter::turn_off(std::string_view reason) {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  log::warning("TensorBoard: {}; the training goes on without it", reason);
}

void TensorBoardWriter::record(std::string_view event) {
  if (!on()) return;
  try {
    write_all(file_, framed_record(event), path_);
  } catch (const Error& error) {
    turn_off(error.what());
  }
}

void TensorBoardWriter::scalar(std::string_view tag, std::int64_t step, double value) { scalars(step, {{tag, value}}); }

void TensorBoardWriter::scalars(std::int64_t step, const std::vector<TaggedValue>& values) {
  if (!on()) return;
  Message summary;
  for (const TaggedValue& one : values) add_scalar(summary, one.tag, one.value);
  record(event_at(step).bytes(5, summary.text()).text());
}

void TensorBoardWriter::histogram(std::string_view tag, std::int64_t step, const Histogram& values) {
  if (!on()) return;
  const Histogram::Buckets buckets = values.buckets();
  Message counts;
  counts.real(1, values.min()).real(2, values.max()).real(3, static_cast<double>(values.count()));
  counts.real(4, values.sum()).real(5, values.sum_squares());
  counts.reals(6, buckets.limits).reals(7, buckets.counts);
  Message summary;
  summary.bytes(1, Message().bytes(1, tag).bytes(5, counts.text()).text());
  if (values.not_finite() > 0)
    add_scalar(summary, fmt::format("{}/not_finite", tag), static_cast<double>(values.not_finite()));
  record(event_at(step).bytes(5, summary.text()).text());
}

void TensorBoardWriter::image(std::string_view tag, std::int64_t step, const ImageView& view) {
  if (!on()) return;
  std::string png;
  try {
    png = encode_png(view);
  } catch (const Error& error) {
    if (!image_warned_) log::warning("TensorBoard: images are left out: {}", error.what());
    image_warned_ = true;
    return;
  }
  Message image;
  image.integer(1, view.height).integer(2, view.width).integer(3, view.channels).bytes(4, png);
  const Message value = Message().bytes(1, tag).bytes(4, image.text());
  record(event_at(step).bytes(5, Message().bytes(1, value.text()).text()).text());
}

void TensorBoardWriter::text(std::string_view tag, std::int64_t step, std::string_view markdown) {
  if (!on()) return;
  constexpr int string_type = 7;
  // An empty shape is a scalar; a list of texts would be shown as a table.
  const Message tensor = Message().integer(1, string_type).bytes(2, "").bytes(8, markdown);
  const Message metadata = Message().bytes(1, Message().bytes(1, "text").text());
  const Message value = Message().bytes(1, tag).bytes(8, tensor.text()).bytes(9, metadata.text());
  record(event_at(step).bytes(5, Message().bytes(1, value.text()).text()).text());
}

void TensorBoardWriter::flush() {
  if (on() && ::fdatasync(file_) != 0)
    turn_off(fmt::format("cannot write '{}' to disk: {}", path_, std::strerror(errno)));
}

}  // namespace trireme
