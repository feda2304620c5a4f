// One host has several names: what it calls itself, what a list calls it, its addresses.
#pragma once

#include <string>
#include <vector>

namespace trireme {

/// Whether two names mean one host as far as they tell: it may call itself "n1.site.org" where a list says "n1".
/// Addresses must be equal.
bool same_host(const std::string& a, const std::string& b);

/// Numbers, as the resolver gives them; it may take seconds. Empty where it knows no such name.
std::vector<std::string> addresses_of(const std::string& name);

/// Asks the resolver only where the name itself does not tell.
bool is_this_machine(const std::string& name);

}  // namespace trireme
