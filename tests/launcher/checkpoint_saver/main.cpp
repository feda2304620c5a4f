// Saves one checkpoint as a run does, and removes those the rule of two does not keep: the program that tests end,
// starve and cut off at every operation on its files.
//   checkpoint_saver FOLDER STEP SAMPLES [clean]
// With `clean` it first clears away what an earlier process left, as a run does when it starts.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "core/base/error.hpp"
#include "tests/support/sample_checkpoint.hpp"

using namespace trireme;

namespace {

/// Tells a journal, where one is kept, that commit() has returned.
void mark_committed() {
  if (void* const mark = ::dlsym(RTLD_DEFAULT, "io_shim_mark")) reinterpret_cast<void (*)(const char*)>(mark)("saved");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return static_cast<int>(ExitCode::usage);
  try {
    const CheckpointStore store(argv[1]);
    if (argc > 4) store.clean();
    save_sample(store, {.step = std::atoll(argv[2]), .samples = std::atoll(argv[3])});
    mark_committed();
    store.prune({.last = 2});
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
