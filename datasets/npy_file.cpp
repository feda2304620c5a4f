#include "datasets/npy_file.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <set>

#include "core/base/checked.hpp"

namespace trireme {
namespace {

constexpr std::size_t longest_header = std::size_t{64} << 10;
constexpr std::int64_t largest_row = std::int64_t{1} << 30;
constexpr std::string_view magic = "\x93NUMPY";

/// The header's text: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderText {
 public:
  HeaderText(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  struct Found {
    std::string descr;
    bool fortran = false;
    std::vector<std::int64_t> shape;
  };

  Found read() {
    Found found;
    std::set<std::string> keys;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      if (!keys.insert(key).second) refuse("has a key twice");
      expect(':');
      if (key == "descr") {
        if (peek() == '[')
          fail(ExitCode::corrupt_input,
               "{} is an array of records (several named values an element); wanted numbers: save each of its fields "
               "as a file, np.save('FIELD.npy', a['FIELD'])",
               path_);
        found.descr = quoted();
      } else if (key == "fortran_order") {
        found.fortran = truth();
      } else if (key == "shape") {
        found.shape = extents();
      } else {
        refuse("has an unknown key");
      }
      if (take('}')) break;
      expect(',');
    }
    if (keys.size() != 3) refuse("lacks one of descr, fortran_order and shape");
    if (peek() != '\0') refuse("goes on behind its end");
    return found;
  }

 private:
  [[noreturn]] void refuse(const char* what) const {
    fail(ExitCode::corrupt_input, "{}: the header of the .npy file {}; it was damaged, or made by no np.save()", path_,
         what);
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) refuse("is no dictionary of Python");
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') refuse("is no dictionary of Python");
    const std::size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) refuse("is cut off");
    const std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  bool truth() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    refuse("says neither True nor False of fortran_order");
  }
  std::vector<std::int64_t> extents() {
    std::vector<std::int64_t> out;
    expect('(');
    while (!take(')')) {
      std::int64_t extent = -1;
      peek();
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) refuse("has no shape of whole numbers");
      at_ = static_cast<std::size_t>(end - text_.data());
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // of Python 2
      out.push_back(extent);
      if (take(')')) break;
      expect(',');
    }
    return out;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

NpyHeader header_of(const HeaderText::Found& found, const std::string& path) {
  const std::string& type = found.descr;
  if (type.find('O') != std::string::npos)
    fail(ExitCode::corrupt_input,
         "{} holds Python objects (dtype {}), which could run any code and are never read; save numbers: "
         "np.save(FILE, a.astype('float32')), with every row equally long",
         path, type);
  static const std::set<std::string> known = {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"};
  const std::string_view orders = "<>|=";
  if (type.size() != 3 || orders.find(type[0]) == std::string_view::npos || !known.contains(type.substr(1)))
    fail(ExitCode::corrupt_input,
         "{} has elements of the dtype {}; wanted one of bool, int8 to int64, uint8 to uint64, float16, float32 and "
         "float64: convert it by a.astype(...){}",
         path, type,
         type.find_first_of("US") != std::string::npos ? ", texts by np.unique(a, return_inverse=True)" : "");
  if (found.shape.empty())
    fail(ExitCode::corrupt_input, "{} is a single number; wanted an array whose first dim counts the samples", path);
  if (found.shape.size() > Shape::max_dims)
    fail(ExitCode::corrupt_input, "{} has {} dims; at most {} are taken: reshape it", path, found.shape.size(),
         static_cast<int>(Shape::max_dims));
  const auto wide = std::ranges::count_if(found.shape, [](std::int64_t extent) { return extent > 1; });
  if (found.fortran && wide > 1)
    fail(ExitCode::corrupt_input,
         "{} is in Fortran order, in which a sample lies scattered over the file; save it in C order: "
         "np.save(FILE, np.ascontiguousarray(a))",
         path);
  return {.kind = type[1],
          .bytes = type[2] - '0',
          .order = type[0] == '>' ? NpyHeader::Order::big : NpyHeader::Order::little,
          .shape = found.shape};
}

/// `count` elements of one type as those of another, which holds all of them but for huge u8 numbers.
template <class From, class To>
std::optional<std::size_t> widen(const std::byte* from, std::byte* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof value, sizeof value);
    if constexpr (sizeof(From) == 8) {
      if (value > static_cast<From>(std::numeric_limits<std::int64_t>::max())) return i;
    }
    const To wide = static_cast<To>(value);
    std::memcpy(to + i * sizeof wide, &wide, sizeof wide);
  }
  return std::nullopt;
}

void exchange_bytes(std::span<std::byte> raw, std::size_t size) {
  for (std::size_t at = 0; at < raw.size(); at += size)
    std::reverse(raw.begin() + static_cast<std::ptrdiff_t>(at), raw.begin() + static_cast<std::ptrdiff_t>(at + size));
}

}  // namespace

DType NpyHeader::dtype() const {
  if (kind == 'f') return bytes == 2 ? DType::f16 : bytes == 4 ? DType::f32 : DType::f64;
  if (kind == 'b' || (kind == 'u' && bytes == 1)) return DType::u8;
  if (kind == 'u' && bytes == 2) return DType::u16;
  return kind == 'i' && bytes <= 4 ? DType::i32 : DType::i64;
}

NpyFile::NpyFile(const std::string& path) : file_(path) {
  read_header();
  check_size();
}

void NpyFile::read_header() {
  std::byte start[8];
  file_.read_exactly(start, "the header of a .npy file");
  const std::string_view seen(reinterpret_cast<const char*>(start), sizeof start);
  if (file_.compressed() || seen.starts_with("PK"))
    fail(ExitCode::corrupt_input, "{} is packed (.npz or .gz): unpack it, and save each array by np.save()", path());
  const int major = std::to_integer<int>(start[6]);
  if (!seen.starts_with(magic))
    fail(ExitCode::corrupt_input, "{} is no .npy file: it does not begin with \\x93NUMPY; make one by np.save()",
         path());
  if (major < 1 || major > 3)
    fail(ExitCode::corrupt_input, "{} is a .npy file of format {}; 1, 2 and 3 are read", path(), major);
  std::byte length[4] = {};
  file_.read_exactly(std::span(length).first(major == 1 ? 2 : 4), "the header of a .npy file");
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, length, sizeof bytes);
  if (bytes > longest_header)
    fail(ExitCode::corrupt_input, "{} claims a header of {} bytes; more than {} are not plausible", path(), bytes,
         longest_header);
  std::string text(bytes, '\0');
  file_.read_exactly(std::as_writable_bytes(std::span(text)), "the header of a .npy file");
  header_ = header_of(HeaderText(text, path()).read(), path());
}

void NpyFile::check_size() {
  if (rows() == 0) fail(ExitCode::corrupt_input, "{} holds no samples: its first dim is 0", path());
  for (std::size_t i = 1; i < header_.shape.size(); ++i) {
    if (header_.shape[i] == 0 || header_.shape[i] > largest_row / 8 / row_elements_)
      fail(ExitCode::corrupt_input,
           "{}: samples of shape ({}) are empty or larger than 1 GiB; the first dim counts them", path(),
           fmt::join(header_.shape.begin() + 1, header_.shape.end(), ", "));
    row_elements_ *= header_.shape[i];
  }
  const auto row = static_cast<std::uint64_t>(row_elements_) * static_cast<std::uint64_t>(header_.bytes);
  const std::uint64_t there = file_.stored_bytes() - file_.position();
  if (there % row != 0 || there / row != static_cast<std::uint64_t>(rows()))
    fail(ExitCode::corrupt_input,
         "{} has {} bytes of elements, its header speaks of {} samples of {} bytes: it is {}; save it again", path(),
         there, rows(), row, there / row < static_cast<std::uint64_t>(rows()) ? "cut off" : "followed by other bytes");
}

Shape NpyFile::row() const { return Shape(std::span(header_.shape).subspan(1)); }

void NpyFile::read_rows(std::int64_t rows, std::vector<std::byte>& out) {
  const std::size_t count = to_size(rows * row_elements_);
  const auto size = static_cast<std::size_t>(header_.bytes);
  raw_.resize(count * size);
  file_.read_exactly(raw_, "the elements");
  if (header_.order == NpyHeader::Order::big) exchange_bytes(raw_, size);
  out.resize(count * size_of(header_.dtype()));
  std::optional<std::size_t> refused;
  if (header_.kind == 'b') {
    std::ranges::transform(raw_, out.begin(), [](std::byte b) { return std::byte{b != std::byte{0}}; });
  } else if (header_.kind == 'i' && size == 1) {
    widen<std::int8_t, std::int32_t>(raw_.data(), out.data(), count);
  } else if (header_.kind == 'i' && size == 2) {
    widen<std::int16_t, std::int32_t>(raw_.data(), out.data(), count);
  } else if (header_.kind == 'u' && size == 4) {
    widen<std::uint32_t, std::int64_t>(raw_.data(), out.data(), count);
  } else if (header_.kind == 'u' && size == 8) {
    refused = widen<std::uint64_t, std::int64_t>(raw_.data(), out.data(), count);
  } else {
    std::ranges::copy(raw_, out.begin());
  }
  if (refused)
    fail(ExitCode::corrupt_input, "{} is above what int64 holds: convert the array by a.astype('int64')",
         place(read_ + narrow<std::int64_t>(*refused) / row_elements_, narrow<std::int64_t>(*refused) % row_elements_));
  read_ += rows;
}

std::string NpyFile::place(std::int64_t row, std::int64_t element) const {
  std::vector<std::int64_t> index(header_.shape.size());
  for (std::size_t dim = index.size() - 1; dim > 0; --dim) {
    index[dim] = element % header_.shape[dim];
    element /= header_.shape[dim];
  }
  index[0] = row;
  return fmt::format("{}: element [{}]", path(), fmt::join(index, ", "));
}

Json NpyFile::end() {
  file_.expect_end();
  return {{"file", std::filesystem::path(path()).filename().string()},
          {"bytes", file_.stored_bytes()},
          {"xxh3_128", file_.stored_hash().hex()}};
}

}  // namespace trireme
