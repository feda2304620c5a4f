// The manifest of a checkpoint. The input is one byte and a text. Where the byte is odd and the text is JSON, it is
// written anew with a valid checksum first: otherwise nothing would ever get past the checksum.
#include "core/io/json_object.hpp"
#include "launcher/run/checkpoint_bytes.hpp"
#include "launcher/run/checkpoint_manifest.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

constexpr char as_it_is = 0, sealed = 1;

std::string with_checksum(const std::string& text) {
  Json json;
  const bool is_json = fuzz::takes([&] { json = parse_json(text, "input", "JSON"); });
  if (!is_json || !json.is_object()) return text;
  json.erase("checksum");
  json["checksum"] = hash_text(dump_json(json)).hex();
  return dump_json(json) + "\n";
}

void check_taken(const CheckpointManifest& manifest, const std::string& text) {
  fuzz::demand(manifest.to_text() == text, "a manifest that was taken is written as it was read");
  const auto ranges = ranges_of_files(manifest);
  for (const auto& file : manifest.files) {
    std::int64_t at = 0;
    for (const auto& range : ranges.at(file.name)) {
      fuzz::demand(range.begin >= at && range.end > range.begin, "pieces do not overlap");
      at = range.end;
    }
    fuzz::demand(at <= file.bytes, "pieces lie in their file");
  }
  for (const auto& tensor : manifest.tensors) {
    std::int64_t elements = 0;
    for (const auto& piece : tensor.pieces) elements += piece.count;
    fuzz::demand(elements == tensor.shape.elements(), "pieces cover their tensor");
  }
}

CheckpointManifest small() {
  CheckpointManifest manifest{.step = 7,
                              .samples = 448,
                              .ranks = 2,
                              .version = "0.1.0",
                              .created = "2026-01-31T12:00:00Z",
                              .data = "d1",
                              .options = {{"epochs", "3"}},
                              .trainer = {{"loss", 0.5}},
                              .files = {},
                              .tensors = {}};
  manifest.files = {{"rank_0000.h5", 4096, {1, 2}}, {"rank_0001.h5", 4096, {3, 4}}};
  manifest.tensors = {{"param",
                       "w",
                       DType::f32,
                       {4, 5},
                       {{0, 12, "rank_0000.h5", "w", 512, {}}, {12, 8, "rank_0001.h5", "w", 512, {}}}},
                      {"state", "n", DType::i64, {}, {{0, 1, "rank_0000.h5", "n", 640, {}}}},
                      {"state", "none", DType::f64, {0, 3}, {}}};
  return manifest;
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  CheckpointManifest empty;
  empty.ranks = 1;
  empty.options = empty.trainer = Json::object();
  const std::string text = small().to_text();
  return {as_it_is + text, sealed + text, sealed + empty.to_text(), sealed + std::string("{\"format\": [1e300]}"),
          sealed + std::string("step_00000100")};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const bool seal = (input.number(1) & 1) != 0;
  std::string text(input.rest());
  const std::int64_t step = checkpoint_step(text);
  fuzz::demand(step < 0 || checkpoint_name(step) == text, "the name of a step has one spelling");
  if (seal) text = with_checksum(text);
  CheckpointManifest manifest;
  if (fuzz::takes([&] { manifest = CheckpointManifest::parse(text, "manifest.json"); })) check_taken(manifest, text);
  return 0;
}
