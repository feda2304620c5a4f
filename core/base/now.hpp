// What time it is, and where.
#pragma once

#include <string>

namespace trireme {

/// Seconds of the steady clock, for differences.
double steady_seconds();
/// "2026-11-29T14:05:00Z".
std::string utc_now();
/// The name that this host gives itself; "localhost" where it gives none.
std::string host_name();

}  // namespace trireme
