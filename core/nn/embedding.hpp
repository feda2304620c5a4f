// Rows of a table by number: what turns tokens and categories into vectors, with learnt positions if wanted.
#pragma once

#include <optional>

#include "core/nn/module.hpp"

namespace trireme {

struct EmbeddingLayerOptions {
  std::int64_t positions = 0;  ///< Longest sequence with a learnt vector added per position; 0: none are added.
  double deviation = 0.02;     ///< Of the normal distribution both tables are drawn from.
};

/// i32 (B, T) -> (B, T, width) of the type of the parameters. Names: weight (vocabulary, width), positions (positions,
/// width).
class Embedding : public Module {
 public:
  struct Extents {
    std::int64_t vocabulary, width;
  };
  explicit Embedding(const Extents& extents, const EmbeddingLayerOptions& options = {});
  Value forward(Context& context, const Value& ids) override;
  void parts(Visitor& visit) override;

 private:
  Parameter weight_;
  std::optional<Parameter> positions_;
};

}  // namespace trireme
