// Files that are exchanged while they are imported, and files that are none.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <filesystem>
#include <functional>
#include <limits>

#include "datasets/import_csv.hpp"
#include "datasets/import_lines.hpp"
#include "datasets/import_npy.hpp"
#include "tests/datasets/helpers.hpp"

namespace {

/// Called with the path of each file that is opened.
std::function<void(const std::string&)> at_open;

}  // namespace

/// Instead of the C library's.
extern "C" int open(const char* path, int flags, ...) {
  std::va_list more;
  va_start(more, flags);
  const auto mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : mode_t{0};
  va_end(more);
  if (at_open) at_open(path);
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

namespace trireme {
namespace {

namespace fs = std::filesystem;

class ExchangedFile : public testing::Test {
 protected:
  void TearDown() override { at_open = nullptr; }
  void write(const std::string& name, const std::string& text) const {
    write_bytes(dir_ / name, Bytes(text.begin(), text.end()));
  }
  /// Another file has the name when it is read for the second time: the data set has been begun by then.
  template <class Import>
  void expect_seen(const std::string& text, const std::string& then, const Import& import) const {
    const std::string path = dir_ / "file";
    write("file", text);
    bool exchanged = false;
    at_open = [&](const std::string& opened) {
      if (exchanged || opened != path || !fs::exists(dir_ / ".out.partial")) return;
      exchanged = true;
      write("other", then);
      fs::rename(dir_ / "other", path);
    };
    expect_error(ExitCode::corrupt_input, {path, "changed while it was imported", "import it again"},
                 [&] { import(path); });
    at_open = nullptr;
    EXPECT_TRUE(exchanged);
    EXPECT_FALSE(fs::exists(dir_ / "out") || fs::exists(dir_ / ".out.partial"));
  }
  TempDir dir_;
};

TEST_F(ExchangedFile, OfLinesIsSeen) {
  for (const char* then : {"one\ta\ntwo\tb\nthree\ta\nfour\ta\n", "one\ta\ntwo\tb\n", "one\ta\ntwo\tb\nthree\tc\n",
                           "one\ta\nsix\tb\nthree\ta\n"}) {
    SCOPED_TRACE(then);
    expect_seen("one\ta\ntwo\tb\nthree\ta\n", then,
                [&](const std::string& path) { import_lines({.source = path, .out = dir_ / "out"}); });
  }
}

TEST_F(ExchangedFile, OfATableIsSeen) {
  for (const char* then :
       {"x,y\n1,0\n2,1\n3,0\n4,0\n", "x,y\n1,0\n2,1\n", "x,y\n1,0\n2,1\n3,2\n", "x,y\n1,0\n5,1\n3,0\n"}) {
    SCOPED_TRACE(then);
    expect_seen("x,y\n1,0\n2,1\n3,0\n", then,
                [&](const std::string& path) { import_csv({.source = path, .out = dir_ / "out", .targets = {"y"}}); });
  }
}

/// Three samples of two numbers.
std::string array(const char* form, std::initializer_list<float> numbers) {
  std::string head = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': {}, }}", form);
  head.resize(117, ' ');
  head += '\n';
  std::string out = std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(head.size()) + '\0' + head;
  for (const float one : numbers) out.append(reinterpret_cast<const char*>(&one), sizeof one);
  return out;
}

TEST_F(ExchangedFile, OfNumbersIsSeen) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string& then :
       {array("(3, 2)", {1, 2, nan, 4, 5, 6}), array("(2, 2)", {1, 2, 3, 4}), array("(3, 1)", {1, 2, 3}),
        array("(3, 4)", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})}) {
    expect_seen(array("(3, 2)", {1, 2, 3, 4, 5, 6}), then, [&](const std::string& path) {
      import_npy({.sources = {{"x", path}}, .out = dir_ / "out"});
    });
  }
}

/// Without a writer it would be waited for for ever.
TEST_F(ExchangedFile, ThatIsAPipeIsRefused) {
  const std::string path = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto refused = [&](const auto& import) {
    expect_error(ExitCode::corrupt_input, {path, "not a regular file"}, import);
  };
  refused([&] { import_lines({.source = path, .out = dir_ / "out"}); });
  refused([&] { import_csv({.source = path, .out = dir_ / "out", .targets = {"y"}}); });
  refused([&] { import_npy({.sources = {{"x", path}}, .out = dir_ / "out"}); });
}

}  // namespace
}  // namespace trireme
