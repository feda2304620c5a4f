// Multiple-choice files: both forms give the same items, and a line that is neither is named by file and number.
#include "datasets/multiple_choice.hpp"

#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

class MultipleChoice : public testing::Test {
 protected:
  void write(const std::string& text) { write_bytes(path_, Bytes(text.begin(), text.end())); }
  void expect_refused(const std::string& line, std::vector<std::string> words) {
    SCOPED_TRACE(line);
    write(good_ + "\n" + line + "\n" + good_ + "\n");
    words.push_back(path_ + ":2");
    expect_error(ExitCode::corrupt_input, words, [&] { read_multiple_choice(path_); });
  }

  const TempDir dir_;
  const std::string path_ = dir_ / "questions.jsonl";
  const std::string good_ = R"({"context":"It is","choices":[" day."," night."],"answer":1})";
};

TEST_F(MultipleChoice, BothFormsAreRead) {
  write(good_ +
        "\r\n"
        R"({"ind":24,"activity_label":"Roof","ctx_a":"A man","ctx":"A man is on a roof. He","split":"val",)"
        R"("endings":["is.","sits. ü","starts.","\n"],"source_id":"x~y","label":3})"
        "\n \n\n"
        R"({"label":"0","endings":["a","b"],"ctx":""})"
        "\n\n");
  const auto items = read_multiple_choice(path_);
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0].context, "It is");
  EXPECT_EQ(items[0].choices, (std::vector<std::string>{" day.", " night."}));
  EXPECT_EQ(items[0].answer, 1);
  EXPECT_EQ(items[1].context, "A man is on a roof. He");
  EXPECT_EQ(items[1].choices, (std::vector<std::string>{"is.", "sits. ü", "starts.", "\n"}));
  EXPECT_EQ(items[1].answer, 3);
  EXPECT_EQ(items[2].context, "");
  EXPECT_EQ(items[2].answer, 0);
}

TEST_F(MultipleChoice, AMalformedLineIsNamed) {
  expect_refused("{", {"not a question with choices"});
  expect_refused("[1]", {"is not an object"});
  expect_refused(R"({"context":"a","context":"b","choices":["a","b"],"answer":1})", {"\"context\" stands twice"});
  expect_refused(R"({"text":"a","choices":["a","b"],"answer":1})", {"has neither of \"ctx\""});
  expect_refused(R"({"context":"a","ctx":"a","choices":["a","b"],"answer":1})", {"has both of \"ctx\""});
  expect_refused(R"({"context":1,"choices":["a","b"],"answer":1})", {"context is not a text"});
  expect_refused(R"({"context":"a","endings":["a","b"],"answer":1})", {"choices is missing"});
  expect_refused(R"({"context":"a","choices":"ab","answer":1})", {"choices is not a list"});
  expect_refused(R"({"context":"a","choices":["a",2],"answer":1})", {"choices is not a list of texts"});
  expect_refused(R"({"context":"a","choices":["a"],"answer":0})", {"choices has 1 texts, wanted at least 2"});
  expect_refused(R"({"context":"a","choices":["a",""],"answer":0})", {"choices has an empty text"});
  expect_refused(R"({"context":"a","choices":["a","b"],"answer":2})", {"answer is 2, wanted from 0 to 1"});
  expect_refused(R"({"context":"a","choices":["a","b"],"answer":-1})", {"answer is not an integer"});
  expect_refused(R"({"context":"a","choices":["a","b"],"answer":0.5})", {"answer is not an integer"});
  expect_refused(R"({"context":"a","choices":["a","b"]})", {"answer is missing"});
  for (const char* label : {"", " 1", "1x", "-1", "9"}) {
    expect_refused(fmt::format(R"({{"ctx":"a","endings":["a","b"],"label":"{}"}})", label), {"label is"});
  }
}

TEST_F(MultipleChoice, AFileWithoutLinesIsRefused) {
  for (const char* text : {"", "\n", " \r\n\n"}) {
    write(text);
    expect_error(ExitCode::corrupt_input, {path_, "has no question"}, [&] { read_multiple_choice(path_); });
  }
  expect_error(ExitCode::storage, {"cannot open"}, [&] { read_multiple_choice(dir_ / "none"); });
}

}  // namespace
}  // namespace trireme
