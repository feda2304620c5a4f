// NumPy arrays: every type comes through as the dtype that holds it, in the format's three versions; what is damaged,
// dangerous or no number is named with file and place, and nothing half made stays behind.
#include "datasets/import_npy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "datasets/npy_file.hpp"
#include "datasets/verify.hpp"
#include "tests/datasets/helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string header(const std::string& descr, const std::string& shape, const std::string& fortran = "False") {
  return fmt::format("{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}", descr, fortran, shape);
}

/// A file as np.save() writes it.
std::string npy(std::string text, const std::string& elements, int version = 1) {
  const std::size_t length = version == 1 ? 2 : 4;
  while ((8 + length + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string out = "\x93NUMPY" + std::string{static_cast<char>(version), 0};
  for (std::size_t k = 0; k < length; ++k) out += static_cast<char>(text.size() >> (8 * k) & 255);
  return out + text + elements;
}

class ImportNpy : public testing::Test {
 protected:
  NpySource save(const std::string& field, const std::string& bytes) {
    write_bytes(dir_ / (field + ".npy"), Bytes(bytes.begin(), bytes.end()));
    return {field, dir_ / (field + ".npy")};
  }
  NpyImport job(const std::vector<NpySource>& sources) const { return {.sources = sources, .out = dir_ / "out"}; }
  std::shared_ptr<const Split> split(const std::string& name = "train") const {
    EXPECT_TRUE(verify_dataset(Dataset::open(dir_ / "out")).problems.empty());
    return Dataset::open(dir_ / "out").split(name);
  }
  template <class T>
  std::vector<T> values(const std::string& field, const std::string& name = "train") const {
    const auto samples = split(name);
    const int place = samples->field_index(field);
    const auto elements = to_size(samples->fields()[to_size(place)].row.elements());
    EXPECT_EQ(samples->fields()[to_size(place)].dtype, dtype_of<T>) << field;
    std::vector<T> out(to_size(samples->count()) * elements);
    for (std::int64_t row = 0; row < samples->count(); ++row)
      std::memcpy(out.data() + to_size(row) * elements, samples->row(place, row), elements * sizeof(T));
    return out;
  }
  void expect_refused(const NpyImport& import, const std::vector<std::string>& words) const {
    expect_error(ExitCode::corrupt_input, words, [&] { import_npy(import); });
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(dir_ / ".out.partial"));
  }
  void expect_refused(const std::string& bytes, const std::vector<std::string>& words) {
    expect_refused(job({save("x", bytes)}), words);
  }
  TempDir dir_;
};

TEST_F(ImportNpy, EveryTypeComesThrough) {
  const std::vector<NpySource> sources = {
      save("b1", npy(header("'|b1'", "(3,)"), std::string("\0\1\7", 3))),
      save("u1", npy(header("'|u1'", "(3,)"), raw<std::uint8_t>({0, 1, 255}), 2)),
      save("i1", npy(header("'|i1'", "(3,)"), raw<std::int8_t>({-128, 0, 127}), 3)),
      save("i2", npy(header("'<i2'", "(3,)"), raw<std::int16_t>({-32768, 0, 5}))),
      save("u2", npy(header("'<u2'", "(3,)"), raw<std::uint16_t>({0, 7, 65535}))),
      save("i4", npy(header("\"<i4\"", "(3,)"), raw<std::int32_t>({-7, 0, 1 << 30}))),
      save("u4", npy(header("'<u4'", "(3,)"), raw<std::uint32_t>({0, 1, 4294967295u}))),
      save("i8", npy(header("'<i8'", "(3L,)"), raw<std::int64_t>({-9, 0, std::int64_t{1} << 60}))),
      save("u8", npy(header("'<u8'", "(3,)"), raw<std::uint64_t>({0, 2, std::uint64_t{1} << 62}))),
      save("f2", npy(header("'<f2'", "(3,)"), raw<std::uint16_t>({0x3c00, 0xc000, 0}))),
      save("f4", npy(header("'<f4'", "(3, 2)"), raw<float>({1, 2, 3, 4, 5, 6}))),
      save("big", npy(header("'>i4'", "(3,)"), std::string("\0\0\0\1\0\0\1\0\xff\xff\xff\xff", 12))),
      save("f8", npy(header("'<f8'", "(3, 1, 2)", "False"), raw<double>({1, 2, 3, 4, 5, 6e100}))),
      save("column", npy(header("'<f4'", "(3, 1)", "True"), raw<float>({1, 2, 3})))};
  import_npy(job(sources));
  EXPECT_EQ(values<std::uint8_t>("b1"), (std::vector<std::uint8_t>{0, 1, 1}));
  EXPECT_EQ(values<std::uint8_t>("u1"), (std::vector<std::uint8_t>{0, 1, 255}));
  EXPECT_EQ(values<std::int32_t>("i1"), (std::vector<std::int32_t>{-128, 0, 127}));
  EXPECT_EQ(values<std::int32_t>("i2"), (std::vector<std::int32_t>{-32768, 0, 5}));
  EXPECT_EQ(values<std::uint16_t>("u2"), (std::vector<std::uint16_t>{0, 7, 65535}));
  EXPECT_EQ(values<std::int32_t>("i4"), (std::vector<std::int32_t>{-7, 0, 1 << 30}));
  EXPECT_EQ(values<std::int64_t>("u4"), (std::vector<std::int64_t>{0, 1, 4294967295}));
  EXPECT_EQ(values<std::int64_t>("i8"), (std::vector<std::int64_t>{-9, 0, std::int64_t{1} << 60}));
  EXPECT_EQ(values<std::int64_t>("u8"), (std::vector<std::int64_t>{0, 2, std::int64_t{1} << 62}));
  EXPECT_EQ(static_cast<float>(values<Float16>("f2")[1]), -2);
  EXPECT_EQ(values<float>("f4"), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(values<std::int32_t>("big"), (std::vector<std::int32_t>{1, 256, -1}));
  EXPECT_EQ(values<double>("f8"), (std::vector<double>{1, 2, 3, 4, 5, 6e100}));
  EXPECT_EQ(split()->fields()[12].row, (Shape{1, 2}));
  EXPECT_EQ(values<float>("column"), (std::vector<float>{1, 2, 3}));
}

TEST_F(ImportNpy, ImagesAndLabelsAreThoseOfAClassifier) {
  std::string pixels;
  for (int k = 0; k < 3 * 4 * 5; ++k) pixels += static_cast<char>(k);
  NpyImport import = job({save("image", npy(header("'|u1'", "(3, 4, 5)"), pixels)),
                          save("label", npy(header("'<i8'", "(3, 1)"), raw<std::int64_t>({2, 0, 2})))});
  const NpySource test_image = save("t", npy(header("'|u1'", "(1, 4, 5)"), pixels.substr(0, 20)));
  const NpySource test_label = save("tl", npy(header("'|u1'", "(1,)"), "\1"));
  import.test_sources = {{"label", test_label.path}, { "image", test_image.path }};
  import_npy(import);
  EXPECT_EQ(split()->fields()[0].row, (Shape{4, 5, 1}));
  EXPECT_EQ(split()->class_names(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(values<std::int32_t>("label"), (std::vector<std::int32_t>{2, 0, 2}));
  EXPECT_EQ(values<std::uint8_t>("image")[59], 59);
  EXPECT_EQ(values<std::int32_t>("label", "test"), std::vector<std::int32_t>{1});
}

TEST_F(ImportNpy, WhatIsNoNumberIsNamedOrLeftOut) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  NpyImport import = job({save("x", npy(header("'<f4'", "(4, 2)"), raw<float>({1, 2, 3, nan, 5, 6, -inf, 8}))),
                          save("label", npy(header("'|u1'", "(4,)"), std::string("\0\1\1\0", 4)))});
  expect_refused(import, {"x.npy: element [1, 1]", "not a finite number", "--on-error skip"});
  import.on_error = OnError::skip;
  testing::internal::CaptureStderr();
  import_npy(import);
  const std::string said = testing::internal::GetCapturedStderr();
  for (const char* words : {"element [1, 1]", "element [3, 0]", "x.npy: 2 samples were left out"})
    EXPECT_NE(said.find(words), std::string::npos) << said;
  EXPECT_EQ(values<float>("x"), (std::vector<float>{1, 2, 5, 6}));
  EXPECT_EQ(values<std::int32_t>("label"), (std::vector<std::int32_t>{0, 1}));

  save("x", npy(header("'<f2'", "(4, 1)"), raw<std::uint16_t>({0, 0x7c00, 0, 0})));
  import.on_error = OnError::stop;
  import.existing = Existing::replace;
  expect_error(ExitCode::corrupt_input, {"element [1, 0]"}, [&] { import_npy(import); });
  EXPECT_EQ(split()->count(), 2);  // the old data set stays
}

TEST_F(ImportNpy, LabelsHaveClasses) {
  NpyImport import = job({save("label", npy(header("'<i4'", "(3,)"), raw<std::int32_t>({0, -1, 1})))});
  expect_refused(import, {"label.npy: element [1] is the label -1", "classes"});
  import.sources = {save("label", npy(header("'<i4'", "(3,)"), raw<std::int32_t>({0, 2, 1})))};
  import.classes = {"cat", "dog"};
  expect_refused(import, {"element [1] is the label 2; there are 2 classes (0 to 1)"});
  import.sources = {save("label", npy(header("'<i4'", "(2,)"), raw<std::int32_t>({0, 1})))};
  import.test_sources = {{ "label", save("t", npy(header("'<i4'", "(2,)"), raw<std::int32_t>({1, 2}))).path }};
  expect_refused(import, {"t.npy: element [1] is the label 2; there are 2 classes (0 to 1)"});
  expect_refused(job({save("label", npy(header("'<i4'", "(2,)"), raw<std::int32_t>({0, 65536})))}),
                 {"element [1] is the label 65536; there are 65536 classes"});
  expect_refused(job({save("label", npy(header("'<f4'", "(2,)"), raw<float>({0, 1})))}), {"wants one whole number"});
  expect_refused(job({save("label", npy(header("'<i4'", "(2, 2)"), raw<std::int32_t>({0, 1, 0, 1})))}),
                 {"wants one whole number"});
  expect_error(ExitCode::usage, {"no array for a field 'label'"}, [&] {
    NpyImport none = job({save("x", npy(header("'|u1'", "(1,)"), "a"))});
    none.classes = {"a", "b"};
    import_npy(none);
  });
}

TEST_F(ImportNpy, WhatIsNoArrayOfNumbersIsRefused) {
  const std::string elements = raw<float>({1, 2, 3, 4});
  expect_refused(npy(header("'|O'", "(4,)"), "\x80\x03cos\nsystem\n"), {"x.npy", "Python objects", "never read"});
  expect_refused(npy(header("[('a', '|O')]", "(4,)"), elements), {"records"});
  expect_refused(npy(header("'<U5'", "(4,)"), elements), {"<U5", "np.unique"});
  expect_refused(npy(header("'<c8'", "(2,)"), elements), {"<c8", "a.astype"});
  expect_refused(npy(header("'<f4'", "(2, 2)", "True"), elements), {"Fortran order", "np.ascontiguousarray"});
  expect_refused(npy(header("'<f4'", "()"), elements), {"single number"});
  expect_refused(npy(header("'<f4'", "(0, 4)"), ""), {"no samples"});
  expect_refused(npy(header("'<f4'", "(4, 0)"), ""), {"empty"});
  expect_refused(npy(header("'<f4'", "(1, 1, 1, 1, 1, 1, 4)"), elements), {"7 dims"});
  expect_refused(npy(header("'<f4'", "(5,)"), elements), {"cut off", "16 bytes", "5 samples of 4 bytes"});
  expect_refused(npy(header("'<f4'", "(3,)"), elements), {"followed by other bytes"});
  expect_refused(npy(header("'<f4'", "(9223372036854775807, 2)"), elements), {"cut off"});
  expect_refused(npy(header("'<f4'", "(1, 9223372036854775807)"), elements), {"1 GiB"});
  expect_refused(npy(header("'<u8'", "(1, 2)"), raw<std::uint64_t>({3, ~std::uint64_t{0}})),
                 {"element [0, 1]", "int64"});
  expect_refused("PK\3\4 a zip of arrays", {"x.npy", ".npz", "np.save()"});
  expect_refused("1,2\n3,4\nand so on", {"no .npy file"});
  expect_refused("\x93NUM", {"x.npy", "header"});
  for (const int format : {0, 4})
    expect_refused(npy(header("'<f4'", "(4,)"), elements, format), {fmt::format("format {}", format)});
  const std::string whole = npy(header("'<f4'", "(4,)"), elements);
  write_gzip(dir_ / "x.npy", Bytes(whole.begin(), whole.end()));
  expect_refused(job({{"x", dir_ / "x.npy"}}), {"x.npy is packed", ".gz"});
  expect_refused(std::string("\x93NUMPY\2\0\xff\xff\xff\x7f", 12), {"not plausible"});
}

TEST_F(ImportNpy, NoHeaderIsTakenThatIsNotOne) {
  const std::string good = header("'<f4'", "(4,)"), elements = raw<float>({1, 2, 3, 4});
  for (const std::string& bad :
       {good.substr(0, 30), good + "{}", std::string("__import__('os')"), std::string("{}"),
        std::string("{'descr': '<f4', 'descr': '<f4', 'shape': (4,)}"), header("'<f4'", "(-4,)"),
        header("'<f4'", "(4.0,)"), header("'<f4'", "(4"), header("'<f4'", "(4,)", "1"), header("<f4", "(4,)"),
        std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'more': 1}"),
        std::string("{'descr': '<f4', 'shape': (4,), 'more': 1}"),
        std::string("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}")})
    expect_refused(npy(bad, elements), {"x.npy", "header of the .npy file"});
  // Whatever byte of a header is another one, the import ends in a data set or in an Error.
  const std::string whole = npy(good, elements);
  for (std::size_t at = 0; at < 72; ++at) {
    std::string other = whole;
    other[at] = static_cast<char>(other[at] ^ 0x11);
    NpyImport import = job({save("x", other)});
    import.existing = Existing::replace;
    try {
      import_npy(import);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
    }
  }
}

TEST_F(ImportNpy, ArraysBelongTogether) {
  const NpySource x = save("x", npy(header("'|u1'", "(3,)"), "abc")), y = save("y", npy(header("'|u1'", "(2,)"), "ab"));
  expect_refused(job({x, y}), {"x.npy", "3 samples", "y.npy", "holds 2"});
  NpyImport import = job({x});
  import.test_sources = {{ "x", save("t", npy(header("'|u1'", "(3, 1)"), "abc")).path }};
  expect_refused(import, {"'x'", "equal"});
  const auto wrong = [&](const std::vector<std::string>& words) {
    expect_error(ExitCode::usage, words, [&] { import_npy(import); });
  };
  import.test_sources = {{ "z", x.path }};
  wrong({"'x' has no test array"});
  import.test_sources = {{"x", x.path}, { "z", x.path }};
  wrong({"2 test arrays for 1 fields"});
  import.set_aside.fraction = 0.5;
  wrong({"choose one"});
  import = job({x, x});
  wrong({"two arrays"});
  expect_refused(job({save("image", npy(header("'|u1'", "(1, 3, 8, 8)"), std::string(192, 'a')))}),
                 {"channels first", "np.moveaxis"});
}

TEST_F(ImportNpy, SplitsAreCheckedAndNoneIsEmpty) {
  const NpySource x = save("x", npy(header("'<f4'", "(3,)"), raw<float>({1, 2, 3})));
  NpyImport import = job({x});
  for (const double fraction : {-0.1, 1.0, std::nan("")}) {
    import.set_aside.fraction = fraction;
    expect_error(ExitCode::usage, {"not in [0, 1)"}, [&] { import_npy(import); });
  }
  import.set_aside.fraction = 1e-9;
  expect_refused(import, {"no sample is left for the split test"});
  import.set_aside.fraction = 1 - 1e-9;
  expect_refused(import, {"no sample is left for the split train"});
  import = job({x});
  import.test_sources = {{ "x", save("t", npy(header("'<f4'", "(2,)"), raw<float>({1, std::nanf("")}))).path }};
  expect_refused(import, {"t.npy: element [1]", "not a finite number"});
  import.on_error = OnError::skip;
  import_npy(import);
  EXPECT_EQ(values<float>("x", "test"), std::vector<float>{1});
  expect_error(ExitCode::usage, {"no arrays were given"}, [&] { import_npy(job({})); });
}

TEST_F(ImportNpy, APartIsPutAsideByItsNumber) {
  std::vector<std::int64_t> numbers(1000);
  for (std::size_t k = 0; k < numbers.size(); ++k) numbers[k] = static_cast<std::int64_t>(k);
  NpyImport import = job({save("id", npy(header("'<i8'", "(1000,)"), raw(numbers)))});
  import.set_aside = {.fraction = 0.25, .seed = 7};
  import_npy(import);
  const auto train = values<std::int64_t>("id"), test = values<std::int64_t>("id", "test");
  EXPECT_GT(test.size(), 200U);
  EXPECT_LT(test.size(), 300U);
  std::vector<std::int64_t> all = train;
  all.insert(all.end(), test.begin(), test.end());
  EXPECT_TRUE(std::ranges::is_sorted(train) && std::ranges::is_sorted(test));
  std::ranges::sort(all);
  EXPECT_EQ(all, numbers);
  import.set_aside.seed = 8;
  import.existing = Existing::replace;
  import_npy(import);
  EXPECT_NE(values<std::int64_t>("id", "test"), test);
}

}  // namespace
}  // namespace trireme
