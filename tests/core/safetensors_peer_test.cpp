// The Python package safetensors reads what this program writes, and the other way round.
#include "core/io/json.hpp"
#include "tests/core/safetensors_helpers.hpp"
#include "tests/support/peer_python.hpp"
#include "tests/support/random_seed.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

class SafetensorsPeer : public testing::Test {
 protected:
  void SetUp() override {
    static const bool there = peer_has("safetensors");
    if (!there) GTEST_SKIP() << "skipped: no safetensors";
  }
  const TempDir dir_;
  const std::string path_ = dir_ / "model.safetensors";
  const std::string script_ = "core/safetensors_peer.py";
};

TEST_F(SafetensorsPeer, ReadsWhatIsWrittenHere) {
  const auto specs = odd_specs();
  const std::string elements = random_bytes(total_bytes(specs), random_seed());
  SafeTensorsWriter writer(path_, specs);
  write_all_of(writer, elements, 64);
  const Json found = Json::parse(run_peer(script_, {"read", path_}, dir_ / "peer"));
  EXPECT_EQ(found["metadata"], (Json{{"format", "pt"}}));
  ASSERT_EQ(found["tensors"].size(), specs.size());
  std::size_t at = 0;
  for (const SafeTensorSpec& spec : specs) {
    const auto extents = spec.shape.extents();
    EXPECT_EQ(found["tensors"][spec.name], (Json{{"dtype", safetensors_name(spec.dtype)},
                                                 {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                                                 {"bytes", hex(elements.substr(at, to_size(spec.bytes())))}}))
        << spec.name;
    at += to_size(spec.bytes());
  }
}

TEST_F(SafetensorsPeer, IsReadHere) {
  const Json written = Json::parse(run_peer(script_, {"write", path_}, dir_ / "peer"));
  const SafeTensors model(path_);
  EXPECT_EQ(model.files().at(0).metadata, (SafeTensorsMetadata{{"made", "by a peer"}}));
  ASSERT_EQ(model.tensors().size(), written.size());
  for (const SafeTensor& tensor : model.tensors()) {
    ASSERT_TRUE(written.contains(tensor.name)) << tensor.name;
    std::string bytes(to_size(tensor.size()), '\0');
    model.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    const auto extents = tensor.shape.extents();
    EXPECT_EQ(written[tensor.name], (Json{{"dtype", tensor.dtype},
                                          {"shape", std::vector<std::int64_t>(extents.begin(), extents.end())},
                                          {"bytes", hex(bytes)}}));
  }
}

}  // namespace
}  // namespace trireme
