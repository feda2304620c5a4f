// Where ranks meet with a deadline before something that would wait for ever: each rank gives a short text, and hears
// those of all that came in time. A rank that does not come is known by its number.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace trireme {

struct Patience {
  std::chrono::milliseconds limit{};
  std::function<std::chrono::steady_clock::time_point()> now;
  std::function<void()> pause;  // between two looks
};

/// One text per rank, in rank order; nothing for a rank that did not come within the limit. Texts are cut to
/// longest_text. What a rank sent too late or nobody fetched stays in the communicator, which should not be used much
/// longer then.
std::vector<std::optional<std::string>> meet(Communicator& comm, const std::string& mine, const Patience& patience);

constexpr std::size_t longest_text = 1022;

/// A text as it travels, and back.
Tensor meeting_record(const std::string& text);
std::string meeting_text(const Tensor& record);

}  // namespace trireme
