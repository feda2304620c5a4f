// What an importer does at a sample that cannot be used: the import ends, or goes on without it and says so.
#pragma once

#include <cstdint>
#include <string>

namespace trireme {

enum class OnError : std::uint8_t { stop, skip };

/// The samples of one source that were left out: the first ones are named, the rest counted.
class LeftOut {
 public:
  LeftOut(OnError on_error, std::string source) : on_error_(on_error), source_(std::move(source)) {}
  /// ExitCode::corrupt_input with OnError::stop, a warning or a count with OnError::skip. `problem` names the place.
  void add(const std::string& problem);
  /// Warns of how many there were, where there were any.
  void end() const;
  std::int64_t count() const { return count_; }

 private:
  OnError on_error_;
  std::string source_;
  std::int64_t count_ = 0;
};

}  // namespace trireme
