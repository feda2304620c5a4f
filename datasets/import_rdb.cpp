// The format is that of R's serialize(), "R Internals", section 1.8: big-endian (XDR) words. Only what a character
// vector without further structure needs is read here.
#include "datasets/import_rdb.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <set>

#include "core/base/error.hpp"
#include "core/io/file.hpp"
#include "core/io/mapped_file.hpp"
#include "core/io/zlib_stream.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t character_vector = 16, character_string = 9, missing = 0xffffffffu;

/// Words and bytes from the front of a piece of memory.
class Words {
 public:
  Words(std::span<const std::byte> bytes, const std::string& what) : bytes_(bytes), what_(what) {}
  std::uint32_t word() {
    std::uint32_t out = 0;
    for (const std::byte one : take(4)) out = out << 8 | std::to_integer<std::uint32_t>(one);
    return out;
  }
  std::span<const std::byte> take(std::size_t count) {
    if (count > bytes_.size())
      fail(ExitCode::corrupt_input, "{}: {} bytes are wanted where {} are left: it is cut off", what_, count,
           bytes_.size());
    const auto out = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return out;
  }
  std::size_t left() const { return bytes_.size(); }
  std::span<const std::byte> rest() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& what_;
};

/// The lines of an object; nothing where it is not a character vector.
std::optional<std::vector<std::string>> lines_of(std::span<const std::byte> object, const std::string& what) {
  Words in(object, what);
  const auto format = in.take(2);
  if (std::to_integer<char>(format[0]) != 'X') return std::nullopt;
  const std::uint32_t version = in.word();
  in.take(8);                            // versions of the writer and of the oldest reader
  if (version == 3) in.take(in.word());  // the writer's encoding
  if (version != 2 && version != 3) return std::nullopt;
  if ((in.word() & 0xff) != character_vector) return std::nullopt;
  const std::uint32_t count = in.word();
  std::vector<std::string> lines;
  for (std::uint32_t k = 0; k < count; ++k) {
    if ((in.word() & 0xff) != character_string) return std::nullopt;
    const std::uint32_t length = in.word();
    const auto bytes = in.take(length == missing ? 0 : length);
    lines.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return lines;
}

/// "PRIDE AND PREJUDICE" -> "pride_and_prejudice", made different from those there are.
std::string name_for(const std::vector<std::string>& lines, std::set<std::string>& used) {
  std::string title;
  for (const std::string& line : lines)
    if (!line.empty()) {
      title = line.substr(0, 60);
      break;
    }
  std::string name;
  for (const char one : title) {
    const auto c = static_cast<unsigned char>(one);
    if (std::isalnum(c) != 0) {
      name.push_back(static_cast<char>(std::tolower(c)));
    } else if (!name.empty() && name.back() != '_') {
      name.push_back('_');
    }
  }
  while (name.ends_with('_')) name.pop_back();
  if (name.empty()) name = "text";
  std::string unique = name;
  for (int k = 2; !used.insert(unique).second; ++k) unique = name + "_" + std::to_string(k);
  return unique + ".txt";
}

}  // namespace

std::vector<UnpackedText> import_rdb(const RdbImport& import) {
  if (fs::exists(import.folder))
    fail(ExitCode::usage, "{} is there already: remove it or choose another folder", import.folder);
  const MappedFile map(import.file, file_bytes(import.file));
  Words file({map.data(), map.size()}, import.file);
  const fs::path staging = import.folder + ".partial";
  fs::remove_all(staging);
  fs::create_directories(staging);
  std::vector<UnpackedText> out;
  std::set<std::string> used;
  while (file.left() > 0) {
    const std::uint32_t size = file.word();
    const Inflated object = inflate_stream(file.rest(), size, import.file);
    file.take(object.consumed);
    const auto lines = lines_of(object.bytes, import.file);
    if (!lines || lines->size() < import.least_lines) continue;
    std::string text;
    for (const std::string& line : *lines) text += line + "\n";
    out.push_back({name_for(*lines, used), text.size()});
    write_file_atomically((staging / out.back().name).string(), text);
  }
  if (out.empty())
    fail(ExitCode::corrupt_input, "{} holds no text of {} lines or more", import.file, import.least_lines);
  fs::rename(staging, import.folder);
  return out;
}

}  // namespace trireme
