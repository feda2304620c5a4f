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

}  // namespace trireme
