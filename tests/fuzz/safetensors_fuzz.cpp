// Models in the safetensors format. The input is a byte that says what it is: a whole file; the header of one, with its
// length put right, and elements; or the index of two shards. What was taken must cover its bytes exactly, can be read
// to the last of them, and is the same when it is written anew.
#include "core/base/checked.hpp"
#include "core/io/json_object.hpp"
#include "core/io/safetensors.hpp"
#include "core/io/safetensors_writer.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

constexpr char whole_file = 0, header_and_elements = 1, index_of_shards = 2;
constexpr std::size_t elements_bytes = 24;

std::string file_of(std::string_view header, std::string_view elements) {
  std::string out;
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(header.size() >> shift & 0xff);
  return out.append(header).append(elements);
}

std::string contents_of(const SafeTensors& model) {
  std::string out;
  for (const SafeTensor& tensor : model.tensors()) {
    std::string bytes(to_size(tensor.size()), '\0');
    model.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    out += quoted_name(tensor.name) + tensor.dtype + tensor.shape.text() + bytes;
    fuzz::demand(model.find(tensor.name) == &tensor, "each name is there once");
  }
  return out;
}

void check_cover(const SafeTensors& model) {
  std::size_t file = model.files().size();
  std::int64_t at = 0;
  for (const SafeTensor& tensor : model.tensors()) {
    if (tensor.file != file) at = tensor.bytes.begin;
    file = tensor.file;
    fuzz::demand(tensor.bytes.begin == at, "no hole and no overlap");
    at = tensor.bytes.end;
    const auto dtype = safetensors_dtype(tensor.dtype);
    const auto width = dtype ? static_cast<std::int64_t>(size_of(*dtype)) : std::int64_t{1};
    fuzz::demand(!dtype || tensor.size() == checked_mul(tensor.shape.elements(), width),
                 "bytes are those of the shape");
  }
}

void write_anew(const SafeTensors& model, const std::string& path) {
  std::vector<SafeTensorSpec> specs;
  std::string elements;
  for (const SafeTensor& tensor : model.tensors()) {
    const auto dtype = safetensors_dtype(tensor.dtype);
    if (!dtype) return;
    specs.push_back({tensor.name, *dtype, tensor.shape});
    std::string bytes(to_size(tensor.size()), '\0');
    model.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    elements += bytes;
  }
  SafeTensorsWriter writer(path, specs, model.files().front().metadata);
  writer.append(std::as_bytes(std::span(elements)));
  writer.commit();
  const SafeTensors back(path);
  fuzz::demand(contents_of(back) == contents_of(model), "what is written anew is the same");
  fuzz::demand(back.files().front().metadata == model.files().front().metadata, "so is what is said about it");
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const std::string elements = "abcdefghijklmnopqrstuvwx";
  const std::string one = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                          R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]},)"
                          R"("none":{"dtype":"F64","shape":[0,3],"data_offsets":[24,24]}}  )";
  const std::string two = R"({"m":{"dtype":"BOOL","shape":[24],"data_offsets":[0,24]}})";
  const std::string index =
      R"({"metadata":{"total_size":48},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})";
  return {whole_file + file_of(one, elements),
          whole_file + file_of("{}", ""),
          header_and_elements + one,
          header_and_elements + two,
          index_of_shards + index,
          index_of_shards + std::string(R"({"weight_map":{"a":"../one.safetensors"}})")};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const auto kind = input.number(1) % 3;
  const std::string rest(input.rest()), elements(elements_bytes, 'e');
  const auto folder = fuzz::work_folder();
  if (kind == index_of_shards) {
    for (const char* name : {"a", "b"}) {
      const std::string header = std::string("{\"") + name + R"(":{"dtype":"U8","shape":[24],"data_offsets":[0,24]}})";
      fuzz::write_file(folder / (name[0] == 'a' ? "one.safetensors" : "two.safetensors"), file_of(header, elements));
    }
    fuzz::write_file(folder / safetensors_index_file, rest);
    std::filesystem::remove(folder / safetensors_file);
  } else {
    fuzz::write_file(folder / safetensors_file, kind == whole_file ? rest : file_of(rest, elements));
  }
  fuzz::takes([&] {
    const SafeTensors model(folder.string());
    check_cover(model);
    contents_of(model);
    if (kind != index_of_shards) write_anew(model, folder / "anew");
  });
  return 0;
}
