#include "datasets/on_error.hpp"

#include "core/base/error.hpp"
#include "core/base/log.hpp"

namespace trireme {
namespace {

constexpr std::int64_t most_named = 20;

}  // namespace

void LeftOut::add(const std::string& problem) {
  if (on_error_ == OnError::stop)
    fail(ExitCode::corrupt_input, "{}; or leave such samples out by --on-error skip", problem);
  if (++count_ <= most_named) log::warning("left out: {}", problem);
}

void LeftOut::end() const {
  if (count_ > 0) log::warning("{}: {} samples were left out", source_, count_);
}

}  // namespace trireme
