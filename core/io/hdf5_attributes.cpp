// Attributes of the HDF5 wrapper. Texts are written with a fixed length: those of variable length would live in a heap
// that HDF5 does not protect by checksums. Both kinds are read.
#include <algorithm>
#include <type_traits>

#include "core/base/checked.hpp"
#include "core/io/hdf5.hpp"
#include "core/io/hdf5_handles.hpp"

namespace trireme::hdf5 {
namespace {

constexpr std::size_t longest_text = std::size_t{64} << 20;

Id text_type(std::size_t bytes, const Blame& blame) {
  Id type = checked(H5Tcopy(H5T_C_S1), H5Tclose, blame);
  checked(H5Tset_size(type.get(), std::max<std::size_t>(bytes, 1)), blame);
  checked(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), blame);
  checked(H5Tset_cset(type.get(), H5T_CSET_UTF8), blame);
  return type;
}

/// An attribute about to be written: `type` is what it is in the file and in memory.
struct Value {
  const std::string& name;
  hid_t type;
  hid_t space;
  const void* data;
};

Id open_object(hid_t file, const Blame& blame) {
  return checked(H5Oopen(file, blame.object.c_str(), H5P_DEFAULT), H5Oclose, blame);
}

void write_value(hid_t object, const Value& value, const Blame& blame) {
  if (checked(H5Aexists(object, value.name.c_str()), blame) > 0) {
    checked(H5Adelete(object, value.name.c_str()), blame);
  }
  const Id attribute = checked(
      H5Acreate2(object, value.name.c_str(), value.type, value.space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, blame);
  if (value.data != nullptr) checked(H5Awrite(attribute.get(), value.type, value.data), blame);
}

template <class T>
void write_scalar(hid_t object, const std::string& name, T value, const Blame& blame) {
  const Id type = make_type(dtype_of<T>);
  const Id space = checked(H5Screate(H5S_SCALAR), H5Sclose, blame);
  write_value(object, {name, type.get(), space.get(), &value}, blame);
}

void write_text(hid_t object, const std::string& name, std::string_view value, const Blame& blame) {
  const std::string text = value.empty() ? std::string(1, '\0') : std::string(value);
  const Id type = text_type(text.size(), blame);
  const Id space = checked(H5Screate(H5S_SCALAR), H5Sclose, blame);
  write_value(object, {name, type.get(), space.get(), text.data()}, blame);
}

void write_integers(hid_t object, const std::string& name, std::span<const std::int64_t> values, const Blame& blame) {
  const Id type = make_type(DType::i64);
  const hsize_t count = values.size();
  const Id space = checked(H5Screate_simple(1, &count, nullptr), H5Sclose, blame);
  write_value(object, {name, type.get(), space.get(), values.empty() ? nullptr : values.data()}, blame);
}

/// An open attribute with its type and element count.
struct Opened {
  Id attribute;
  Id type;
  Id space;
  hssize_t count;
};

Opened open_attribute(hid_t file, const std::string& name, const Blame& blame) {
  const Id object = checked(H5Oopen(file, blame.object.c_str(), H5P_DEFAULT), H5Oclose, blame);
  if (checked(H5Aexists(object.get(), name.c_str()), blame) == 0) {
    fail(ExitCode::corrupt_input, "{}: '{}' has no attribute '{}'; the file was written by something else", blame.path,
         blame.object, name);
  }
  Id attribute = checked(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, blame);
  Id type = checked(H5Aget_type(attribute.get()), H5Tclose, blame);
  Id space = checked(H5Aget_space(attribute.get()), H5Sclose, blame);
  const hssize_t count = checked(H5Sget_simple_extent_npoints(space.get()), blame);
  return {std::move(attribute), std::move(type), std::move(space), count};
}

[[noreturn]] void wrong_type(const std::string& name, const char* wanted, const Blame& blame) {
  fail(ExitCode::corrupt_input, "{}: the attribute '{}' of '{}' is not {}", blame.path, name, blame.object, wanted);
}

/// T is std::int64_t (integers only) or double (any number).
template <class T>
T read_number(hid_t file, const std::string& name, const Blame& blame) {
  constexpr bool integer = std::is_integral_v<T>;
  const Opened opened = open_attribute(file, name, blame);
  const H5T_class_t kind = H5Tget_class(opened.type.get());
  if (opened.count != 1 || (kind != H5T_INTEGER && (integer || kind != H5T_FLOAT))) {
    wrong_type(name, integer ? "one integer" : "one number", blame);
  }
  T value = 0;
  checked(H5Aread(opened.attribute.get(), integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE, &value), blame);
  return value;
}

std::vector<std::string> read_variable_texts(const Opened& opened, const Blame& blame) {
  const auto count = static_cast<std::size_t>(opened.count);
  std::vector<char*> raw(count, nullptr);
  if (count == 0) return {};
  const Id memory = checked(H5Tcopy(opened.type.get()), H5Tclose, blame);
  checked(H5Aread(opened.attribute.get(), memory.get(), raw.data()), blame);
  std::vector<std::string> texts(count);
  for (std::size_t i = 0; i < count; ++i) texts[i] = raw[i] != nullptr ? raw[i] : "";
  H5Dvlen_reclaim(memory.get(), opened.space.get(), H5P_DEFAULT, raw.data());
  return texts;
}

std::vector<std::string> read_texts(hid_t file, const std::string& name, const Blame& blame) {
  const Opened opened = open_attribute(file, name, blame);
  if (H5Tget_class(opened.type.get()) != H5T_STRING) wrong_type(name, "a text", blame);
  if (H5Tis_variable_str(opened.type.get()) > 0) return read_variable_texts(opened, blame);
  const std::size_t width = H5Tget_size(opened.type.get());
  const auto count = static_cast<std::size_t>(opened.count);
  if (width == 0 || count > longest_text / width) wrong_type(name, "a text of a sensible length", blame);
  std::string raw(width * count, '\0');
  if (count > 0) checked(H5Aread(opened.attribute.get(), opened.type.get(), raw.data()), blame);
  std::vector<std::string> texts(count);
  for (std::size_t i = 0; i < count; ++i) {
    texts[i] = raw.substr(i * width, width);
    texts[i].resize(std::min(texts[i].find('\0'), texts[i].size()));
  }
  return texts;
}

Blame writing(const std::string& path, const std::string& object) {
  return {path, object, "write an attribute of", ExitCode::storage};
}
Blame reading(const std::string& path, const std::string& object) {
  return {path, object, "read an attribute of", ExitCode::corrupt_input};
}

}  // namespace

void File::write_attributes(const std::string& object, std::span<const Attribute> attributes) {
  const Lock lock;
  const Blame blame = writing(path_, object);
  const Id opened = open_object(id_, blame);
  for (const auto& attribute : attributes) {
    if (const auto* text = std::get_if<std::string>(&attribute.value)) {
      write_text(opened.get(), attribute.name, *text, blame);
    } else if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) {
      write_scalar(opened.get(), attribute.name, *number, blame);
    } else {
      write_integers(opened.get(), attribute.name, std::get<std::vector<std::int64_t>>(attribute.value), blame);
    }
  }
}

void File::write_string(const std::string& object, const std::string& name, std::string_view value) {
  const Lock lock;
  const Blame blame = writing(path_, object);
  write_text(open_object(id_, blame).get(), name, value, blame);
}

void File::write_i64(const std::string& object, const std::string& name, std::int64_t value) {
  const Lock lock;
  const Blame blame = writing(path_, object);
  write_scalar(open_object(id_, blame).get(), name, value, blame);
}

void File::write_f64(const std::string& object, const std::string& name, double value) {
  const Lock lock;
  const Blame blame = writing(path_, object);
  write_scalar(open_object(id_, blame).get(), name, value, blame);
}

void File::write_strings(const std::string& object, const std::string& name, const std::vector<std::string>& values) {
  const Lock lock;
  const Blame blame = writing(path_, object);
  std::size_t width = 1;
  for (const auto& value : values) width = std::max(width, value.size());
  std::string raw(width * values.size(), '\0');
  for (std::size_t i = 0; i < values.size(); ++i) values[i].copy(raw.data() + i * width, width);
  const Id type = text_type(width, blame);
  const hsize_t count = values.size();
  const Id space = checked(H5Screate_simple(1, &count, nullptr), H5Sclose, blame);
  write_value(open_object(id_, blame).get(), {name, type.get(), space.get(), values.empty() ? nullptr : raw.data()},
              blame);
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  const Blame blame = reading(path_, object);
  const Id opened = checked(H5Oopen(id_, object.c_str(), H5P_DEFAULT), H5Oclose, blame);
  return checked(H5Aexists(opened.get(), name.c_str()), blame) > 0;
}

std::string File::read_string(const std::string& object, const std::string& name) const {
  const Lock lock;
  const Blame blame = reading(path_, object);
  const auto texts = read_texts(id_, name, blame);
  if (texts.size() != 1) wrong_type(name, "one text", blame);
  return texts.front();
}

std::int64_t File::read_i64(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_number<std::int64_t>(id_, name, reading(path_, object));
}

double File::read_f64(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_number<double>(id_, name, reading(path_, object));
}

std::vector<std::string> File::read_strings(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_texts(id_, name, reading(path_, object));
}

}  // namespace trireme::hdf5
