// Models that transformers saved, imported and exported again, are the same models for transformers: equal weights bit
// for bit, equal config, equal logits.
#include "tests/launcher/exchange_helpers.hpp"
#include "tests/support/peer_python.hpp"

namespace trireme {
namespace {

class ExchangePeer : public testing::TestWithParam<const char*> {};

TEST_P(ExchangePeer, LoadsWhatItSavedAfterImportAndExport) {
  static const bool there = peer_has("torch, transformers, safetensors");
  if (!there) GTEST_SKIP() << "skipped: no torch, transformers and safetensors";
  const TempDir dir;
  const std::string script = "launcher/exchange_peer.py", saved = dir / "saved", imported = dir / "imported";
  run_peer(script, {"save", GetParam(), saved}, dir / "peer");
  const Answer import = checkpoint({"import", saved, "--to", imported});
  ASSERT_EQ(import.code, 0) << import;
  const bool half = std::string(GetParam()).find("bf16") != std::string::npos;
  const Answer exported = checkpoint(
      {"export", imported, "--to", dir / "exported", "--dtype", half ? "bf16" : "f32", "--shard-size", "20KB"});
  ASSERT_EQ(exported.code, 0) << exported;
  std::string answer;
  ASSERT_NO_THROW(answer = run_peer(script, {"compare", saved, dir / "exported"}, dir / "peer"));
  std::cout << GetParam() << ": " << answer;
  EXPECT_NE(answer.find("equal bit for bit"), std::string::npos) << answer;
}

INSTANTIATE_TEST_SUITE_P(Models, ExchangePeer,
                         testing::Values("gpt2", "llama", "llama_tied_bf16", "mistral", "gpt2_bare_bf16"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace trireme
