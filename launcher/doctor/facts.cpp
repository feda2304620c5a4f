#include "launcher/doctor/facts.hpp"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/base/now.hpp"
#include "core/io/json_object.hpp"
#include "launcher/job/captured.hpp"
#include "launcher/job/child.hpp"
#include "launcher/job/host_names.hpp"
#include "launcher/job/launch_plan.hpp"
#include "launcher/job/version.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::int64_t bytes_of(std::uint64_t blocks, std::uint64_t size) { return static_cast<std::int64_t>(blocks * size); }

/// The lines "  name   value" of the version's text.
void read_versions(MachineFacts& facts) {
  std::istringstream lines(version_text());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, rest;
    words >> name >> std::ws;
    std::getline(words, rest);
    if (name == "trireme") facts.version = rest;
    if (line.starts_with("  ") && !rest.empty()) facts.libraries[name] = rest;
  }
}

void read_gpus(MachineFacts& facts) {
  if (find_program("nvidia-smi").empty()) return;
  const Captured asked = captured({"nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"}, 10);
  std::istringstream lines(asked.code == 0 ? asked.output : "");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t comma = line.find(", ");
    if (comma == std::string::npos) continue;
    facts.gpu_driver = line.substr(0, comma);
    facts.gpus.push_back(line.substr(comma + 2));
  }
}

void read_limits(MachineFacts& facts) {
  const auto whole = [](rlim_t limit) {
    return limit == RLIM_INFINITY || limit > std::uint64_t{1} << 62 ? -1 : static_cast<std::int64_t>(limit);
  };
  rlimit files{}, locked{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  ::getrlimit(RLIMIT_MEMLOCK, &locked);
  facts.open_files = whole(files.rlim_cur);
  facts.most_open_files = whole(files.rlim_max);
  facts.locked_bytes = whole(locked.rlim_max);
}

FolderFacts look_at_folder(const std::string& path) {
  FolderFacts out{.path = path};
  fs::path nearest = path;
  std::error_code missing;
  while (!fs::is_directory(nearest, missing) && nearest.has_relative_path()) nearest = nearest.parent_path();
  out.nearest = nearest.string();
  struct statvfs space {};
  if (::statvfs(out.nearest.c_str(), &space) != 0) return out;
  out.free_bytes = bytes_of(space.f_bavail, space.f_frsize);
  out.total_bytes = bytes_of(space.f_blocks, space.f_frsize);
  out.writable = ::access(out.nearest.c_str(), W_OK) == 0;
  return out;
}

Json to_json(const NetworkCard& card) {
  return {{"name", card.name}, {"driver", card.driver}, {"megabits", card.megabits},  {"mtu", card.mtu},
          {"up", card.up},     {"linked", card.linked}, {"addresses", card.addresses}};
}

Json to_json(const FolderFacts& folder) {
  return {{"path", folder.path},
          {"nearest", folder.nearest},
          {"free_bytes", folder.free_bytes},
          {"total_bytes", folder.total_bytes},
          {"writable", folder.writable}};
}

/// -1 stands for no limit.
std::int64_t limit_of(const JsonObject& object, const char* key) {
  const Json& value = object.value(key);
  return value.is_number_integer() && value == -1 ? -1 : object.count(key);
}

NetworkCard read_card(const JsonObject& card) {
  return {.name = card.text("name"),
          .driver = card.text("driver"),
          .megabits = card.count("megabits"),
          .mtu = card.count("mtu"),
          .up = card.flag("up"),
          .linked = card.flag("linked"),
          .addresses = card.texts("addresses")};
}

FolderFacts read_folder(const JsonObject& folder) {
  return {.path = folder.text("path"),
          .nearest = folder.text("nearest"),
          .free_bytes = folder.count("free_bytes"),
          .total_bytes = folder.count("total_bytes"),
          .writable = folder.flag("writable")};
}

}  // namespace

MachineFacts gather_facts(const std::vector<std::string>& folders) {
  MachineFacts facts;
  facts.host = host_name();
  facts.program = fs::read_symlink("/proc/self/exe").string();
  read_versions(facts);
  facts.mpirun = find_program("mpirun");
  facts.orted = find_program("orted");
  facts.cores = usable_cores();
  struct sysinfo memory {};
  if (::sysinfo(&memory) == 0) facts.memory_bytes = bytes_of(memory.totalram, memory.mem_unit);
  read_gpus(facts);
  struct statvfs shared {};
  if (::statvfs("/dev/shm", &shared) == 0) {
    facts.shared_bytes = bytes_of(shared.f_blocks, shared.f_frsize);
    facts.shared_free = bytes_of(shared.f_bavail, shared.f_frsize);
  }
  read_limits(facts);
  facts.own_addresses = addresses_of(facts.host);
  facts.cards = network_cards();
  for (const std::string& path : folders) facts.folders.push_back(look_at_folder(path));
  return facts;
}

Json to_json(const MachineFacts& facts) {
  Json out = {{"host", facts.host},
              {"version", facts.version},
              {"program", facts.program},
              {"libraries", facts.libraries},
              {"mpirun", facts.mpirun},
              {"orted", facts.orted},
              {"cores", facts.cores},
              {"memory_bytes", facts.memory_bytes},
              {"gpus", facts.gpus},
              {"gpu_driver", facts.gpu_driver},
              {"shared_bytes", facts.shared_bytes},
              {"shared_free", facts.shared_free},
              {"open_files", facts.open_files},
              {"most_open_files", facts.most_open_files},
              {"locked_bytes", facts.locked_bytes},
              {"own_addresses", facts.own_addresses},
              {"cards", Json::array()},
              {"folders", Json::array()}};
  for (const NetworkCard& card : facts.cards) out["cards"].push_back(to_json(card));
  for (const FolderFacts& folder : facts.folders) out["folders"].push_back(to_json(folder));
  return out;
}

MachineFacts facts_from_json(const Json& json, const std::string& from) {
  const JsonObject object(json, from, "");
  MachineFacts facts;
  facts.host = object.text("host");
  facts.version = object.text("version");
  facts.program = object.text("program");
  const JsonObject libraries = object.object("libraries");
  for (const auto& [name, version] : object.value("libraries").items())
    facts.libraries[name] = libraries.text(name.c_str());
  facts.mpirun = object.text("mpirun");
  facts.orted = object.text("orted");
  facts.cores = object.count("cores");
  facts.memory_bytes = object.count("memory_bytes");
  facts.gpus = object.texts("gpus");
  facts.gpu_driver = object.text("gpu_driver");
  facts.shared_bytes = object.count("shared_bytes");
  facts.shared_free = object.count("shared_free");
  facts.open_files = limit_of(object, "open_files");
  facts.most_open_files = limit_of(object, "most_open_files");
  facts.locked_bytes = limit_of(object, "locked_bytes");
  facts.own_addresses = object.texts("own_addresses");
  object.each("cards", [&](const JsonObject& card) { facts.cards.push_back(read_card(card)); });
  object.each("folders", [&](const JsonObject& folder) { facts.folders.push_back(read_folder(folder)); });
  return facts;
}

std::string bare_address(const std::string& address) { return address.substr(0, address.find('/')); }

std::string network_of(const std::string& address) {
  in_addr bits{};
  const std::size_t slash = address.find('/');
  if (slash == std::string::npos || ::inet_pton(AF_INET, bare_address(address).c_str(), &bits) != 1) return "";
  const int length = std::atoi(address.c_str() + slash + 1);
  if (length < 0 || length > 32) return "";
  const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  bits.s_addr = htonl(ntohl(bits.s_addr) & mask);
  char text[INET_ADDRSTRLEN];
  ::inet_ntop(AF_INET, &bits, text, sizeof text);
  return fmt::format("{}/{}", text, length);
}

}  // namespace trireme
