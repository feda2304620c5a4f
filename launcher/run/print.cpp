#include "launcher/run/print.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/error.hpp"

namespace trireme {

void print_out(std::string_view text) {
  std::fflush(stdout);  // what was written through the C library comes first
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EPIPE) return;
    if (done < 0) fail(ExitCode::storage, "cannot write to standard output: {}", std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

void print_json(const Json& value) { print_out(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"); }

std::string harmless(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace trireme
