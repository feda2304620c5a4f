// What a machine says about itself: programs, cores, memory, limits, folders, network cards. Gathered where it runs,
// carried to whoever asked as JSON, judged there (findings.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/io/json.hpp"

namespace trireme {

struct NetworkCard {
  std::string name = {};
  std::string driver = {};    // of the kernel: "mlx5_core", "bridge", "veth"; empty: it does not say
  std::int64_t megabits = 0;  // per second, of real cards; 0: it does not say
  std::int64_t mtu = 0;
  bool up = false, linked = false;          // switched on; a cable with something behind it
  std::vector<std::string> addresses = {};  // with the length of their network: "10.0.0.1/24"
};

struct FolderFacts {
  std::string path = {};
  std::string nearest = {};  // what of it is there already
  std::int64_t free_bytes = 0, total_bytes = 0;
  bool writable = false;
};

struct MachineFacts {
  std::string host = {};
  std::string version = {}, program = {};        // of trireme, and its path
  std::map<std::string, std::string> libraries;  // name and version, features among them
  std::string mpirun = {}, orted = {};           // paths on the PATH that a command over ssh has; empty: none
  std::int64_t cores = 0, memory_bytes = 0;
  std::vector<std::string> gpus = {};
  std::string gpu_driver = {};
  std::int64_t shared_bytes = 0, shared_free = 0;    // /dev/shm
  std::int64_t open_files = 0, most_open_files = 0;  // limit now, and up to where it may be raised
  std::int64_t locked_bytes = 0;                     // -1: no limit
  std::vector<std::string> own_addresses = {};       // what its name means to itself
  std::vector<NetworkCard> cards = {};
  std::vector<FolderFacts> folders = {};
};

/// Of this machine; `folders` are looked at where they lie or would lie. Nothing in it takes longer than seconds.
MachineFacts gather_facts(const std::vector<std::string>& folders);

/// The cards of this machine, of the kernel and not of /sys, which shows those of another network namespace.
std::vector<NetworkCard> network_cards();

Json to_json(const MachineFacts& facts);
/// corrupt_input where something is missing or of another kind; `from` names the sender.
MachineFacts facts_from_json(const Json& json, const std::string& from);

/// "10.0.0.0/24" of "10.0.0.7/24"; empty for what is no IPv4 address with a length.
std::string network_of(const std::string& address);
/// Without the length.
std::string bare_address(const std::string& address);

}  // namespace trireme
