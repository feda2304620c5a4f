#include "launcher/job/data_target.hpp"

#include "core/base/error.hpp"
#include "datasets/summary.hpp"
#include "launcher/run/print.hpp"

namespace trireme {

void DataTarget::declare(OptionGroup& options) {
  options.add("out", &out, "folder of the data set; appears whole or not at all; must be given")
      .add("name", &name, "name of the data set; empty: the folder's name")
      .add("shard-rows", &shard_rows, "samples per shard; 0: as many as 256 MiB hold", {.low = 0})
      .add("compress", &compress, "deflate the fields: 1 (fast) to 9 (small); 0: store them as they are",
           {.low = 0, .high = 9})
      .add("overwrite", &overwrite, "replace a data set that exists");
}

void needed(const char* command, const char* option, const std::string& value) {
  if (value.empty()) fail(ExitCode::usage, "{} needs --{}; see {} --help", command, option, command);
}

std::vector<std::string> list_of_names(const char* command, const char* option, const std::string& text) {
  std::vector<std::string> names;
  if (text.empty()) return names;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end == begin) fail(ExitCode::usage, "{}: --{} has an empty name in '{}'", command, option, text);
    names.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

int made(const std::string& folder) {
  print_out(describe(Dataset::open(folder)));
  return 0;
}

}  // namespace trireme
