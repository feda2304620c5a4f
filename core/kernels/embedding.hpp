// Rows of a table looked up by index, and the gradient of the table: every used row is the sum of the gradients of its
// tokens in their order, so the result never depends on lanes or threads.
#pragma once

#include <cmath>

#include "core/kernels/token_index.hpp"
#include "core/kernels/wide.hpp"

namespace trireme::kernels {

/// A row kernel over tokens: y[token] = table[id] + positions[position]. Shapes: table (rows of ids, features),
/// positions (rows of position, features) or null. The result of an index that is no row is not a number.
template <class T>
struct EmbeddingForward {
  static constexpr const char* name = "embedding";
  const T* table;
  const T* positions;
  T* y;
  TokenIndex id, position;
  std::int64_t features;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t token) const {
    using A = Accum<T>;
    const bool valid = id.valid(token) && (positions == nullptr || position.valid(token));
    const T* in = table + (valid ? id.at(token) * features : 0);
    const T* more = positions == nullptr || !valid ? nullptr : positions + position.at(token) * features;
    T* out = y + token * features;
    for_each_wide<T>(team, features, [&](std::int64_t c, auto width) {
      auto v = load(in + c, width);
      if (more != nullptr) {
        const auto p = load(more + c, width);
        for (int k = 0; k < width; ++k) v[k] += p[k];
      }
      if (!valid) {
        for (int k = 0; k < width; ++k) v[k] = static_cast<A>(NAN);
      }
      store(out + c, v);
    });
  }
};

/// A row kernel over tokens that finds those of equal index: next[token] is the next token with the same index or -1;
/// head[token] is 1 for the first token of an index, else 0 (also where the index is no row). Searches all tokens: for
/// a GPU; on a CPU chain_tokens() does the same in one pass.
struct TokenChain {
  static constexpr const char* name = "embedding_chain";
  TokenIndex index;
  std::int32_t* next;
  std::int32_t* head;
  std::int64_t tokens;

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t token) const {
    const std::int64_t mine = index.at(token);
    std::int64_t after = tokens, before = 0;
    for (std::int64_t t = team.lane(); t < tokens; t += team.lanes()) {
      if (index.at(t) != mine) continue;
      if (t < token) before = 1;
      if (t > token && t < after) after = t;
    }
    after = -team.max(-after);
    before = team.max(before);
    if (team.lane() != 0) return;
    next[token] = after < tokens ? static_cast<std::int32_t>(after) : -1;
    head[token] = before == 0 && index.valid(token) ? 1 : 0;
  }
};

/// A row kernel over tiles() * tokens rows, tile after tile of columns: where token is the head of its chain,
///   dtable[index] += sum of dy over the tokens of the chain, in their order.
/// The gradient may be kept in a wider type G.
template <class T, class G = T>
struct EmbeddingGradient {
  static constexpr const char* name = "embedding_gradient";
  static constexpr std::int64_t tile = 256;  ///< Columns; several tiles give several threads even work.
  const T* dy;
  G* dtable;
  const std::int32_t* next;
  const std::int32_t* head;
  TokenIndex index;
  std::int64_t tokens, features;

  std::int64_t tiles() const { return (features + tile - 1) / tile; }

  template <class Team>
  TRIREME_HD void operator()(const Team& team, std::int64_t row) const {
    const std::int64_t token = row % tokens, first = row / tokens * tile;
    if (head[token] == 0) return;  // no reduction follows
    G* out = dtable + index.at(token) * features + first;
    const T* in = dy + first;
    for_each_wide<T>(team, features - first < tile ? features - first : tile, [&](std::int64_t c, auto width) {
      Pack<Accum<T>, width> total;
      for (std::int64_t t = token; t >= 0; t = next[t]) {
        const auto g = load(in + t * features + c, width);
        for (int k = 0; k < width; ++k) total[k] += g[k];
      }
      const auto old = load(static_cast<const G*>(out) + c, width);
      for (int k = 0; k < width; ++k) total[k] += old[k];
      store(out + c, total);
    });
  }
};

}  // namespace trireme::kernels
