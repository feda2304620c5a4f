#include "datasets/text_reader.hpp"

#include <algorithm>
#include <filesystem>

#include "core/base/checked.hpp"
#include "core/io/json_object.hpp"
#include "core/io/mapped_file.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t block = std::size_t{1} << 20;
constexpr std::size_t longest_uncut = std::size_t{16} << 20;
constexpr std::size_t longest_line = std::size_t{1} << 30;

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

/// All files below a folder, by name.
std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> out;
  try {
    auto at = fs::recursive_directory_iterator(folder);
    for (const auto end = fs::end(at); at != end; ++at) {
      if (hidden(at->path())) {
        if (at->is_directory()) at.disable_recursion_pending();
      } else if (at->is_regular_file()) {
        out.push_back(at->path().string());
      }
    }
  } catch (const fs::filesystem_error& error) {
    fail(ExitCode::corrupt_input, "cannot read the folder {}: {}", folder, error.what());
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

std::size_t character_cut(std::string_view text) {
  std::size_t at = text.size();
  for (int back = 0; back < 4 && at > 0; ++back) {
    const auto byte = static_cast<unsigned char>(text[--at]);
    if ((byte & 0xc0) != 0x80) return at;
  }
  return text.size();
}

TextReader::TextReader(TextInput input) : input_(std::move(input)) {
  for (const auto& path : input_.paths) add_path(path);
  if (files_.empty()) fail(ExitCode::corrupt_input, "there is no text to read: give files or folders");
}

void TextReader::add_path(const std::string& path) {
  std::error_code error;
  std::vector<std::string> found{path};
  if (fs::is_directory(path, error)) {
    found = files_below(path);
    if (found.empty()) fail(ExitCode::corrupt_input, "the folder {} holds no files of text", path);
  }
  for (auto& file : found) {
    stored_bytes_ = checked_add(stored_bytes_, narrow<std::int64_t>(file_bytes(file)));
    files_.push_back(std::move(file));
  }
}

bool TextReader::is_json() const {
  if (input_.format != TextFormat::by_name) return input_.format == TextFormat::json_lines;
  std::string_view name = files_[file_ - 1];
  if (name.ends_with(".gz")) name.remove_suffix(3);
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

std::int64_t TextReader::stored_read() const {
  return stored_done_ + (open_ ? static_cast<std::int64_t>(open_->stored_read()) : 0);
}

bool TextReader::open_next() {
  if (file_ == files_.size()) return false;
  open_ = std::make_unique<InputFile>(files_[file_++]);
  buffer_.clear();
  used_ = 0;
  line_ = 0;
  at_end_ = came_ = false;
  return true;
}

void TextReader::close() {
  sources_.push_back({{"file", fs::path(open_->path()).filename().string()},
                      {"bytes", open_->stored_bytes()},
                      {"xxh3_128", open_->stored_hash().hex()}});
  stored_done_ += static_cast<std::int64_t>(open_->stored_bytes());
  open_.reset();
}

/// Reads until `wanted` bytes are there that were not used; false where the file has fewer.
bool TextReader::fill(std::size_t wanted) {
  if (buffer_.size() - used_ >= wanted) return true;
  buffer_.erase(0, used_);
  used_ = 0;
  while (!at_end_ && buffer_.size() < wanted) {
    const std::size_t before = buffer_.size();
    buffer_.resize(before + block);
    const std::size_t got = open_->read({reinterpret_cast<std::byte*>(buffer_.data() + before), block});
    buffer_.resize(before + got);
    at_end_ = got < block;
  }
  return buffer_.size() >= wanted;
}

bool TextReader::next(TextPiece& piece) {
  while (open_ || open_next()) {
    const bool lines = is_json() || input_.unit == DocumentUnit::line;
    const bool found = lines ? next_of_lines(piece) : next_of_file(piece);
    if (!found) {
      close();
      continue;
    }
    piece.document = documents_;
    piece.begin = text_bytes_;
    text_bytes_ += std::ssize(piece.text);
    if (piece.ends) ++documents_;
    return true;
  }
  return false;
}

bool TextReader::next_of_file(TextPiece& piece) {
  std::size_t bytes = 0;
  for (std::size_t wanted = block; bytes == 0; wanted *= 2) {
    // One byte more than is looked at: what is cut off is never the end.
    const bool more = fill(wanted + 1);
    const std::string_view text = std::string_view(buffer_).substr(used_);
    if (!more) {
      bytes = text.size();
      break;
    }
    bytes = input_.cut(text.substr(0, wanted));
    if (bytes == 0 && wanted >= longest_uncut) bytes = character_cut(text.substr(0, wanted));
  }
  if (bytes == 0) {
    if (!came_) ++empty_;
    return false;
  }
  piece.text.assign(buffer_, used_, bytes);
  used_ += bytes;
  piece.ends = at_end_ && used_ == buffer_.size();
  came_ = true;
  return true;
}

bool TextReader::next_line(std::string& line) {
  std::size_t length = std::string::npos;
  for (std::size_t wanted = 1, looked = 0; length == std::string::npos; wanted = looked + 1) {
    const bool more = fill(wanted);
    length = buffer_.find('\n', used_ + looked);
    looked = buffer_.size() - used_;
    if (length != std::string::npos) {
      length -= used_;
    } else if (!more || at_end_) {
      if (looked == 0) return false;
      length = looked;
    } else if (looked > longest_line) {
      fail(ExitCode::corrupt_input, "{}:{}: the line is longer than {} bytes: is this a text of lines?", open_->path(),
           line_ + 1, longest_line);
    }
  }
  line.assign(buffer_, used_, length);
  used_ = std::min(used_ + length + 1, buffer_.size());
  if (line.ends_with('\r')) line.pop_back();
  ++line_;
  return true;
}

bool TextReader::next_of_lines(TextPiece& piece) {
  for (std::string line; next_line(line);) {
    const bool blank = line.find_first_not_of(" \t") == std::string::npos;
    if (is_json() && blank) continue;
    piece.text = is_json() ? text_of(line) : std::move(line);
    piece.ends = true;
    if (!piece.text.empty()) return true;
    ++empty_;
  }
  return false;
}

std::string TextReader::text_of(const std::string& line) const {
  const std::string place = fmt::format("{}:{}", open_->path(), line_);
  const Json json = parse_json(line, place, "a JSON object in one line");
  return JsonObject(json, place, "").text(input_.field.c_str());
}

}  // namespace trireme
