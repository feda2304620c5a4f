// Who may include whom: an include points to the same folder or to a lower one, each third-party header has one home,
// and core/ does not speak of the machinery above it.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "tests/tree/source_text.hpp"

namespace trireme::tree {
namespace {

const std::map<std::string, std::set<std::string>> may_include = {
    {"core", {"core"}},
    {"comm", {"core", "comm"}},
    {"datasets", {"core", "datasets"}},
    {"launcher", {"core", "comm", "datasets", "launcher"}},
    {"examples", {"core", "comm", "datasets", "launcher", "examples"}},
    {"tests", {"core", "comm", "datasets", "launcher", "tests"}},
};

struct Home {
  std::string header;               // how the name of the header begins
  std::vector<std::string> places;  // how the path of a file that may include it begins
};

const std::vector<std::string> operators = {"core/ops/", "core/kernels/", "tests/"};
const std::vector<std::string> files_only = {"core/io/", "tests/"};
const std::vector<std::string> device_only = {"core/device/", "core/kernels/", "tests/gpu/"};
const std::vector<Home> homes = {
    {"mpi.h", {"comm/mpi.", "comm/mpi_", "tests/"}},
    {"mpi-ext.h", {"comm/mpi_"}},
    {"nccl", {"comm/nccl_", "tests/gpu/"}},
    {"hdf5", files_only},
    {"H5", files_only},
    {"xxhash", files_only},
    {"nlohmann/", files_only},
    {"png", files_only},
    {"jpeglib", files_only},
    {"zlib", files_only},
    {"zstd", files_only},
    {"sqlite3", {"launcher/job/job_database."}},
    {"dnnl", operators},
    {"oneapi/", operators},
    {"cublas", operators},
    {"cudnn", operators},
    {"cuda", device_only},
    {"cub/", device_only},
    {"thrust/", device_only},
    {"cooperative_groups", device_only},
    {"nvtx3/", {"core/base/", "core/device/"}},
    {"omp.h", {"core/", "launcher/run/", "tests/"}},
    {"boost/program_options", {"launcher/run/options"}},
    {"boost/version.hpp", {"launcher/"}},
    {"spdlog/", {"core/base/log."}},
    {"fmt/", {""}},
    {"gtest/", {"tests/"}},
    {"gmock/", {"tests/"}},
    {"benchmark/", {"tests/bench/"}},
};

// Headers of the C library and the system. Those of the C++ library have neither a dot nor a slash.
const std::set<std::string> system_headers = {
    "cpuid.h",   "cxxabi.h",    "dirent.h",   "dlfcn.h",  "execinfo.h", "fcntl.h",    "fenv.h",
    "ifaddrs.h", "immintrin.h", "inttypes.h", "limits.h", "math.h",     "netdb.h",    "poll.h",
    "pthread.h", "sched.h",     "signal.h",   "stdint.h", "stdio.h",    "stdlib.h",   "string.h",
    "strings.h", "termios.h",   "time.h",     "unistd.h", "wait.h",     "xmmintrin.h"};

bool is_system(const std::string& header) {
  return header.find_first_of("./") == std::string::npos || system_headers.contains(header) ||
         starts_with_any(header, {"sys/", "linux/", "netinet/", "arpa/", "net/", "asm/"});
}

std::string quoted_problem(const SourceFile& file, const std::string& header) {
  const std::string folder = file.path.substr(0, file.path.find('/'));
  const std::string target = header.substr(0, header.find('/'));
  if (!may_include.contains(target) || header.find('/') == std::string::npos) {
    return "\"" + header + "\" does not start from the root";
  }
  if (!may_include.contains(folder) || !may_include.at(folder).contains(target)) {
    return folder + "/ may not include " + target + "/ (\"" + header + "\")";
  }
  if (folder == "examples" && target == "examples" &&
      std::filesystem::path(header).parent_path().generic_string() !=
          std::filesystem::path(file.path).parent_path().string()) {
    return "an example includes another one (\"" + header + "\"): what two need belongs below";
  }
  return "";
}

std::string angled_problem(const SourceFile& file, const std::string& header) {
  for (const auto& home : homes) {
    if (!header.starts_with(home.header)) continue;
    return starts_with_any(file.path, home.places) ? "" : "<" + header + "> lives in " + home.places.front();
  }
  if (is_system(header)) return "";
  return "<" + header + "> is foreign and has no home: name one in tests/tree/layers_test.cpp";
}

std::vector<Violation> check_includes(const std::vector<SourceFile>& files) {
  static const std::regex directive(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Violation> found;
  for (const auto& file : files) {
    int line = 0;
    for (const auto& text : lines_of(blanked(file.text))) {
      ++line;
      std::smatch match;
      if (!std::regex_search(text, match, directive)) continue;
      const bool angled = match[1] == "<";
      const std::string problem = angled ? angled_problem(file, match[2]) : quoted_problem(file, match[2]);
      if (!problem.empty()) found.push_back({file.path, line, problem});
    }
  }
  return found;
}

/// Includes of files that are not there (a build may find them only because of a stale copy).
std::vector<Violation> check_targets(const std::vector<SourceFile>& files) {
  static const std::regex directive(R"(^\s*#\s*include\s*"([^"]+)\")");
  std::set<std::string> known;
  for (const auto& file : files) known.insert(file.path);
  std::vector<Violation> found;
  for (const auto& file : files) {
    int line = 0;
    for (const auto& text : lines_of(blanked(file.text))) {
      ++line;
      std::smatch match;
      if (!std::regex_search(text, match, directive) || known.contains(match[1])) continue;
      found.push_back({file.path, line, "there is no file " + match[1].str()});
    }
  }
  return found;
}

/// core/ is one process' machinery: not even its comments know that there are others, or through what they talk.
std::vector<Violation> check_words(const std::vector<SourceFile>& files) {
  static const std::regex word(R"(\b(rank|ranks|mpi|nccl)\b)", std::regex::icase);
  std::vector<Violation> found;
  for (const auto& file : files) {
    if (!file.path.starts_with("core/")) continue;
    int line = 0;
    for (const auto& text : lines_of(file.text)) {
      ++line;
      std::smatch match;
      if (std::regex_search(text, match, word)) {
        found.push_back({file.path, line, "core/ says '" + match[1].str() + "' (it knows parts and peers)"});
      }
    }
  }
  return found;
}

std::vector<SourceFile> all_cpp() { return source_files(TRIREME_SOURCE_DIR, {".cpp", ".hpp", ".cuh"}); }

TEST(Layers, IncludesPointDownAndThirdPartyHeadersStayAtHome) {
  const auto files = all_cpp();
  ASSERT_GT(files.size(), 10U) << "the sources were not found under " << TRIREME_SOURCE_DIR;
  EXPECT_EQ(to_text(check_includes(files)), "");
  EXPECT_EQ(to_text(check_targets(files)), "");
}

TEST(Layers, CoreKnowsNothingAbove) { EXPECT_EQ(to_text(check_words(all_cpp())), ""); }

struct Planted {
  const char* path;
  const char* text;
  const char* message;  // empty: allowed
};

class PlantedInclude : public testing::TestWithParam<Planted> {};

TEST_P(PlantedInclude, IsJudged) {
  const auto& [path, text, message] = GetParam();
  const auto found = check_includes({{path, text}});
  if (std::string(message).empty()) {
    EXPECT_EQ(to_text(found), "");
  } else {
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].what.find(message), std::string::npos) << found[0].what;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, PlantedInclude,
    testing::Values(Planted{"core/a.cpp", "#include \"comm/mesh.hpp\"\n", "core/ may not include comm/"},
                    Planted{"comm/a.cpp", "#include \"datasets/shard.hpp\"\n", "comm/ may not include datasets/"},
                    Planted{"datasets/a.cpp", "#include \"comm/mesh.hpp\"\n", "datasets/ may not include comm/"},
                    Planted{"comm/a.cpp", "#include \"launcher/run/session.hpp\"\n", "comm/ may not include launcher/"},
                    Planted{"launcher/a.cpp", "#include \"tests/support/x.hpp\"\n", "launcher/ may not include tests/"},
                    Planted{"examples/a/main.cpp", "#include \"examples/b/x.hpp\"\n", "another one"},
                    Planted{"core/base/a.cpp", "#include \"error.hpp\"\n", "from the root"},
                    Planted{"core/io/a.cpp", "#include <mpi.h>\n", "<mpi.h> lives in comm/mpi"},
                    Planted{"comm/mesh.cpp", "#include <mpi.h>\n", "<mpi.h> lives in comm/mpi"},
                    Planted{"comm/mpi.cpp", "#include <mpi.h>\n", ""},
                    Planted{"comm/a.cpp", "#include <nccl.h>\n", "nccl"},
                    Planted{"core/nn/a.cpp", "  #  include <cuda_runtime.h>\n", "lives in core/device/"},
                    Planted{"core/device/a.cpp", "#include <cuda_runtime.h>\n", ""},
                    Planted{"datasets/a.cpp", "#include <hdf5.h>\n", "lives in core/io/"},
                    Planted{"launcher/run/a.cpp", "#include <nlohmann/json.hpp>\n", "lives in core/io/"},
                    Planted{"core/nn/a.cpp", "#include <dnnl.hpp>\n", "lives in core/ops/"},
                    Planted{"launcher/run/trainer.cpp", "#include <boost/program_options.hpp>\n",
                            "launcher/run/options"},
                    Planted{"core/a.cpp", "#include <boost/filesystem.hpp>\n", "no home"},
                    Planted{"core/a.cpp", "#include <vector>\n#include <sys/mman.h>\n", ""},
                    Planted{"core/a.cpp", "// #include <mpi.h>\nconst char* t = R\"(\n#include <mpi.h>\n)\";\n", ""}));

TEST(Layers, PlantedAbsentFileIsFound) {
  const auto found =
      check_targets({{"core/a.cpp", "#include \"core/a.hpp\"\n#include \"core/b.hpp\"\n"}, {"core/a.hpp", ""}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].line, 2);
}

TEST(Layers, PlantedWordIsFound) {
  EXPECT_EQ(check_words({{"core/a.hpp", "int x;  // one per rank\n"}}).size(), 1U);
  EXPECT_EQ(check_words({{"core/a.hpp", "ranking = frank; nccl_like;\n"}}).size(), 0U);
  EXPECT_EQ(check_words({{"comm/a.hpp", "int rank;\n"}}).size(), 0U);
}

}  // namespace
}  // namespace trireme::tree
