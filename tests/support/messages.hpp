// What texts and errors say.
#pragma once

#include <functional>
#include <string>

#include "core/base/error.hpp"

namespace trireme {

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The message of the Error that `action` throws.
inline std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace trireme
