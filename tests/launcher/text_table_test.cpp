// Tables stay aligned whatever letters are in them, and nothing in a file can command the terminal.
#include "launcher/job/text_table.hpp"

#include <gtest/gtest.h>

#include "core/base/error.hpp"

namespace trireme {
namespace {

TEST(TextTable, ColumnsAreAligned) {
  TextTable table({{"name"}, {"size", Align::right}, {"note"}});
  EXPECT_TRUE(table.empty());
  table.add({"größe", "7", "a"});
  table.add({"x", "12345", ""});
  EXPECT_EQ(table.text(),
            "  name    size  note\n"
            "  größe      7  a\n"
            "  x      12345\n");
}

TEST(TextTable, WithoutTitlesThereIsNoTitleLine) {
  TextTable table({{""}, {""}});
  table.add({"a", "b"});
  EXPECT_EQ(table.text(), "  a  b\n");
}

TEST(TextTable, ControlCharactersAreShownNotSent) {
  TextTable table({{"x"}});
  table.add({"red\x1b[31m\nnext\t\x7f"});
  EXPECT_EQ(table.text(), "  x\n  red\\x1b[31m\\nnext\\t\\x7f\n");
}

TEST(TextTable, ARowOfAnotherLengthIsRefused) {
  TextTable table({{"a"}, {"b"}});
  EXPECT_THROW(table.add({"only one"}), Error);
}

}  // namespace
}  // namespace trireme
