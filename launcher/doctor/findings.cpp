#include "launcher/doctor/findings.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "launcher/doctor/words.hpp"
#include "launcher/job/child.hpp"

namespace trireme {
namespace {

constexpr std::int64_t kibi = 1024, mebi = kibi * kibi, gibi = kibi * mebi;

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Finding judge_shared_memory(const MachineFacts& facts) {
  const std::string found =
      fmt::format("/dev/shm: {} of {} free", size_text(facts.shared_free), size_text(facts.shared_bytes));
  if (facts.shared_free >= gibi) return {"shared memory", Grade::ok, found};
  return {"shared memory", facts.shared_free < 64 * mebi ? Grade::fault : Grade::warning, found,
          "ranks of one host share gradients there: docker run --shm-size=8g, or mount -o remount,size=8g /dev/shm; "
          "remove what killed jobs left in it"};
}

void judge_limits(const MachineFacts& facts, std::vector<Finding>& out) {
  const bool few = facts.open_files != -1 && facts.open_files < 1024;
  out.push_back({"open files", few ? Grade::warning : Grade::ok,
                 fmt::format("limit {} (may be raised to {})", limit_text(facts.open_files, ""),
                             limit_text(facts.most_open_files, "")),
                 few ? "ulimit -n 65536, or 'nofile' in /etc/security/limits.conf" : ""});
  const bool matters = !facts.gpus.empty();
  const bool small = matters && facts.locked_bytes != -1 && facts.locked_bytes < gibi;
  out.push_back({"locked memory", small ? Grade::warning : Grade::ok,
                 facts.locked_bytes == -1 ? "no limit" : "limit " + size_text(facts.locked_bytes),
                 small ? "copies to GPUs and network cards lock memory: 'memlock unlimited' in "
                         "/etc/security/limits.conf"
                       : ""});
}

Finding judge_folder(const FolderFacts& folder) {
  const std::string found =
      fmt::format("{}: {} of {} free", folder.path, size_text(folder.free_bytes), size_text(folder.total_bytes));
  if (!folder.writable) {
    return {"disk", Grade::fault, fmt::format("{}: '{}' cannot be written", folder.path, folder.nearest),
            "give another folder (--run-dir, --log-dir), or make it writable: chown, mount -o remount,rw"};
  }
  if (folder.free_bytes < 256 * mebi) {
    return {"disk", Grade::fault, found, "make room: trireme checkpoint prune, or choose another --run-dir"};
  }
  if (folder.free_bytes < 5 * gibi) {
    return {"disk", Grade::warning, found, "checkpoints need room: trireme checkpoint prune, or another --run-dir"};
  }
  return {"disk", Grade::ok, found};
}

bool carries(const NetworkCard& card) { return card.up && card.linked && !card.addresses.empty(); }

std::string card_text(const NetworkCard& card) {
  const std::string speed = card.megabits > 0 ? fmt::format("{:g} Gbit/s", static_cast<double>(card.megabits) / 1000)
                            : card.driver.empty() ? "speed not said"
                                                  : card.driver;
  return fmt::format("{} ({}, packets of {}, {})", card.name, speed, card.mtu, fmt::join(card.addresses, " "));
}

void judge_cards(const MachineFacts& facts, std::vector<Finding>& out) {
  std::vector<std::string> good, left_out;
  std::map<std::string, std::vector<std::string>> networks;
  for (const NetworkCard& card : facts.cards) {
    if (is_inner_card(card)) {
      if (!card.addresses.empty()) left_out.push_back(card.name);
      continue;
    }
    if (card.up && !card.linked && !card.addresses.empty()) {
      out.push_back({"network", Grade::warning, fmt::format("{}: no link", card.name),
                     fmt::format("plug its cable in, or switch it off: ip link set {} down", card.name)});
    }
    if (!carries(card)) continue;
    good.push_back(card_text(card));
    for (const std::string& address : card.addresses) {
      const std::string network = network_of(address);
      if (!network.empty()) networks[network].push_back(card.name);
    }
  }
  out.push_back({"network", good.empty() ? Grade::warning : Grade::ok,
                 good.empty() ? "no card with an address" : fmt::format("{}", fmt::join(good, "; ")),
                 good.empty() ? "other hosts cannot be reached: ip address" : ""});
  for (const auto& [network, names] : networks) {
    if (names.size() < 2) continue;
    out.push_back({"network", Grade::warning, fmt::format("{} are all in {}", fmt::join(names, ", "), network),
                   "answers may leave by the other card: bond them, give each a network of its own, or name one: "
                   "--mpirun-options \"" +
                       mpi_network_words("include", {names.front()}) + "\""});
  }
}

Finding judge_name(const MachineFacts& facts) {
  const auto inner = [](const std::string& address) { return address.starts_with("127.") || address == "::1"; };
  const std::string found = fmt::format(
      "{} is {}", facts.host,
      facts.own_addresses.empty() ? "unknown to itself" : fmt::format("{}", fmt::join(facts.own_addresses, " ")));
  if (!facts.own_addresses.empty() && !std::ranges::all_of(facts.own_addresses, inner))
    return {"name", Grade::ok, found};
  return {"name", Grade::warning, found,
          "programs that tell others this address are not found: write the host's own address into /etc/hosts"};
}

}  // namespace

std::string to_text(Grade verdict) {
  return verdict == Grade::ok ? "ok" : verdict == Grade::warning ? "warning" : "fault";
}

Grade HostReport::verdict() const {
  Grade worst = reached ? Grade::ok : Grade::fault;
  for (const Finding& one : findings) worst = std::max(worst, one.verdict);
  return worst;
}

bool is_unreachable(const std::string& problem, int code) {
  return code == 255 || code == -1 || has(problem, "no answer within");
}

Finding judge_silence(const HostReport& host, const std::string& problem, int code, const std::string& program) {
  const std::string& name = host.host;
  const auto says = [&](std::string_view part) { return has(problem, part); };
  Finding out{is_unreachable(problem, code) ? "ssh" : "trireme", Grade::fault, problem};
  if (says("Permission denied")) {
    out.remedy = fmt::format("ssh-copy-id {}: a key without a password, or one that ssh-agent holds", name);
  } else if (says("Host key verification failed")) {
    out.remedy = fmt::format("ssh {} once by hand, or ssh-keyscan {} >>~/.ssh/known_hosts", name, name);
  } else if (says("resolve hostname")) {
    out.remedy = "check the name; enter it in DNS or /etc/hosts";
  } else if (says("refused")) {
    out.remedy = fmt::format("start sshd on {}: systemctl start ssh", name);
  } else if (is_unreachable(problem, code)) {
    out.remedy = fmt::format("is it on, is its cable in, does a firewall close port 22? ping {}", name);
  } else if (says("no command 'doctor-agent'")) {
    out.remedy = fmt::format("an older trireme lies there; install the same as here: {}", program);
  } else if (says("shared libraries")) {
    out.remedy = "install the missing library there (cluster/setup/packages.sh build)";
  } else if (code == 126 || code == 127) {
    out.remedy = fmt::format("install trireme at the same path on {}: {}", name, program);
  } else {
    out.remedy = "try it by hand: " + shell_quoted({"ssh", "-o", "BatchMode=yes", name, program, "version"});
  }
  return out;
}

std::vector<Finding> judge_machine(const MachineFacts& facts) {
  std::vector<Finding> out;
  out.push_back(judge_shared_memory(facts));
  judge_limits(facts, out);
  for (const FolderFacts& folder : facts.folders) out.push_back(judge_folder(folder));
  out.push_back(judge_name(facts));
  judge_cards(facts, out);
  return out;
}

std::vector<Finding> judge_sameness(const MachineFacts& facts, const MachineFacts& reference) {
  std::vector<Finding> out;
  const bool same = facts.version == reference.version;
  out.push_back({"trireme", same ? Grade::ok : Grade::fault,
                 same ? facts.version : fmt::format("{}, here {}", facts.version, reference.version),
                 same ? "" : fmt::format("install the same there: {}", facts.program)});
  std::vector<std::string> differing;
  for (const auto& [name, version] : reference.libraries) {
    const auto there = facts.libraries.find(name);
    const std::string found = there == facts.libraries.end() ? "none" : there->second;
    if (name != "MPI" && found != version) differing.push_back(fmt::format("{} {}, here {}", name, found, version));
  }
  const auto mpi = [](const MachineFacts& of) {
    return of.libraries.contains("MPI") ? of.libraries.at("MPI") : "none";
  };
  const bool mpi_same = mpi(facts) == mpi(reference);
  const bool daemon = !facts.orted.empty();
  out.push_back({"MPI", mpi_same && daemon ? Grade::ok : Grade::fault,
                 !mpi_same ? fmt::format("{}, here {}", mpi(facts), mpi(reference))
                 : daemon  ? mpi(facts)
                           : "no orted on the PATH of a command over ssh",
                 !mpi_same ? "install the same MPI there"
                 : daemon
                     ? ""
                     : "apt-get install openmpi-bin there, or set PATH in ~/.bashrc before its test for a terminal"});
  out.push_back({"libraries", differing.empty() ? Grade::ok : Grade::warning,
                 differing.empty() ? fmt::format("{} as here", reference.libraries.size())
                                   : fmt::format("{}", fmt::join(differing, "; ")),
                 differing.empty() ? "" : "results may differ in their last bits: install the same packages"});
  const auto machine = [](const MachineFacts& of) {
    return fmt::format("{} cores, {} memory, {} GPUs{}", of.cores, size_text(of.memory_bytes), of.gpus.size(),
                       of.gpus.empty() ? "" : fmt::format(" ({}, driver {})", of.gpus.front(), of.gpu_driver));
  };
  const bool alike =
      facts.cores == reference.cores && facts.gpus == reference.gpus && facts.gpu_driver == reference.gpu_driver;
  out.push_back(
      {"machine", alike ? Grade::ok : Grade::warning,
       machine(facts) + (alike ? "" : fmt::format("; here {}", machine(reference))),
       alike ? "" : "the launcher takes hosts to be alike: --threads for the smallest, host:N for their ranks"});
  return out;
}

Finding judge_clock(const std::optional<ClockSkew>& skew) {
  if (!skew) return {"clock", Grade::warning, "not measured: a clock was set meanwhile", "run the doctor again"};
  const double sure = std::abs(skew->seconds) - skew->uncertainty;
  Finding out{"clock", Grade::ok,
              fmt::format("{} {} ± {}", time_text(std::abs(skew->seconds)), skew->seconds < 0 ? "behind" : "ahead",
                          time_text(skew->uncertainty))};
  if (sure <= 0.1) return out;
  out.verdict = sure > 10 ? Grade::fault : Grade::warning;
  out.remedy = "which rank failed first is told by clocks: apt-get install chrony; chronyc makestep";
  return out;
}

}  // namespace trireme
