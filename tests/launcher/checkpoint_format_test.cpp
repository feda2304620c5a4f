// The checkpoint format: what is written is what is read, whatever the types, names and cuts; other programs open the
// files; and a manifest is taken only as it was written.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "core/io/file.hpp"
#include "core/io/hdf5.hpp"
#include "tests/launcher/checkpoint_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

class CheckpointFormat : public testing::Test {
 protected:
  bool command(const std::string& text) const {
    return std::system((text + " > " + (dir_ / "out") + " 2>&1").c_str()) == 0;
  }
  std::string output() const { return read_file(dir_ / "out"); }
  TempDir dir_;
  CheckpointStore store_{dir_ / "run/checkpoints"};
};

TEST_F(CheckpointFormat, every_type_and_name_comes_back) {
  for (const std::int64_t ranks : {2, 3, 5}) {
    const auto values = odd_values(static_cast<unsigned>(ranks) * 100);
    const std::string folder = save(store_, ranks, values, ranks);
    EXPECT_EQ(folder, store_.folder() + "/" + checkpoint_name(ranks));
    expect_values(folder, values);
    EXPECT_EQ(joined(verify_checkpoint(folder)), "");
    EXPECT_EQ(CheckpointReader(folder + "/").manifest().files.size(), to_size(ranks));
  }
}

TEST_F(CheckpointFormat, tensors_larger_than_a_block_come_back) {
  const std::vector<SavedValue> values = {random_value("param/a", DType::f32, {700'001}, 1),
                                          random_value("param/b", DType::u8, {1 << 20}, 2),
                                          random_value("param/c", DType::f64, {600'000}, 3)};
  const std::string folder = save(store_, 1, values);
  expect_values(folder, values);
  std::int64_t last = 0, total = 0;
  const auto progress = [&](std::int64_t done, std::int64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
  };
  EXPECT_EQ(joined(verify_checkpoint(folder, progress)), "");
  EXPECT_EQ(last, total);
  std::int64_t bytes = 0;
  for (const char* name : {"rank_0000.h5", "rank_0001.h5", "rank_0002.h5"}) {
    bytes += static_cast<std::int64_t>(fs::file_size(folder + "/" + name));
  }
  EXPECT_EQ(total, bytes);
}

TEST_F(CheckpointFormat, any_range_of_any_tensor_is_read) {
  auto values = odd_values();
  values.push_back(random_value("param/large", DType::i32, {900'000}, 77));
  values.push_back(random_value("param/larger", DType::i32, {600'000}, 78));
  const CheckpointReader reader(save(store_, 1, values, 4));
  std::mt19937_64 bits(20261124);
  for (const auto& value : values) {
    const SavedTensor* const tensor = reader.find(value.plane, value.name);
    ASSERT_NE(tensor, nullptr);
    const std::int64_t elements = value.shape.elements();
    std::vector<std::int64_t> places = {0, elements};
    for (const auto& piece : tensor->pieces) {
      for (const std::int64_t by : {-1, 0, 1})
        places.push_back(std::clamp<std::int64_t>(piece.first + by, 0, elements));
    }
    for (int k = 0; k < 6; ++k) places.push_back(static_cast<std::int64_t>(bits() % to_size(elements + 1)));
    for (const std::int64_t first : places) {
      for (const std::int64_t end : places) {
        if (first > end) continue;
        const auto width = static_cast<std::ptrdiff_t>(size_of(value.dtype));
        const Bytes wanted(value.bytes.begin() + first * width, value.bytes.begin() + end * width);
        ASSERT_EQ(read_range(reader, *tensor, first, end - first), wanted)
            << tensor->label() << " " << first << " " << end;
      }
    }
    EXPECT_THROW(read_range(reader, *tensor, 1, elements), Error);
    EXPECT_THROW(read_range(reader, *tensor, -1, 1), Error);
  }
  EXPECT_EQ(reader.find("param", "absent"), nullptr);
}

TEST_F(CheckpointFormat, a_partial_read_still_checks_the_whole_piece) {
  const std::vector<SavedValue> values = {random_value("param/w", DType::f32, {1000}, 1)};
  const std::string folder = save(store_, 3, values, 2);
  const CheckpointReader reader(folder);
  const SavedTensor& tensor = *reader.find("param", "w");
  Bytes file = read_bytes(folder + "/rank_0000.h5");
  file[to_size(tensor.pieces[0].offset) + 3999] ^= 1;
  write_bytes(folder + "/rank_0000.h5", file);
  expect_error(ExitCode::corrupt_input, {folder, "rank_0000.h5", "param/w", "[0, 1000)", "checksum"},
               [&] { read_range(reader, tensor, 0, 10); });
}

TEST_F(CheckpointFormat, the_manifest_keeps_all_it_is_given) {
  const std::string folder = save(store_, 12, odd_values());
  const CheckpointManifest plain = plain_manifest(12, 3);
  const CheckpointManifest back = read_manifest(folder);
  EXPECT_EQ(back.step, 12);
  EXPECT_EQ(back.samples, 768);
  EXPECT_EQ(back.ranks, 3);
  EXPECT_EQ(back.version, plain.version);
  EXPECT_EQ(back.created, plain.created);
  EXPECT_EQ(back.data, plain.data);
  EXPECT_EQ(back.options, plain.options);
  EXPECT_EQ(back.trainer, plain.trainer);
  EXPECT_EQ(back.to_text(), read_file(folder + "/manifest.json"));
  CheckpointManifest changed = back;
  changed.options["run.name"] = "\xff no UTF-8";
  EXPECT_EQ(CheckpointManifest::parse(changed.to_text(), "m").files, back.files);
}

TEST_F(CheckpointFormat, merged_pieces_are_in_order_and_must_agree) {
  const std::vector<SavedValue> values = {random_value("param/w", DType::f32, {90}, 1),
                                          random_value("param/v", DType::f32, {9}, 2)};
  std::vector<WrittenFile> written;
  for (const std::int64_t rank : {2, 0, 1}) {
    written.push_back(write_checkpoint_file(dir_ / fmt::format("r{}.h5", rank), 1, share_of(values, rank, 3)));
  }
  CheckpointManifest manifest = plain_manifest(1, 3);
  merge_written(manifest, written);
  ASSERT_EQ(manifest.tensors.size(), 2U);
  EXPECT_EQ(manifest.tensors[0].label(), "param/w");
  ASSERT_EQ(manifest.tensors[0].pieces.size(), 3U);
  EXPECT_EQ(manifest.tensors[0].pieces[2].file, "r2.h5");
  EXPECT_EQ(manifest.files[0].name, "r2.h5");
  CheckpointManifest::parse(manifest.to_text(), "m");
  written[1].tensors[0].shape = Shape{10, 9};
  CheckpointManifest other;
  expect_error(ExitCode::disagree, {"param/w", "(10, 9)", "r0.h5"}, [&] { merge_written(other, written); });
}

TEST_F(CheckpointFormat, what_cannot_be_saved_is_refused_before_anything_is_lost) {
  const float one = 1;
  const auto write = [&](const std::string& name, const PieceSource& piece) {
    write_checkpoint_file(dir_ / name, 1, std::span(&piece, 1));
  };
  const PieceSource good{"param", "w", DType::f32, {1}, 0, 1, &one};
  write("a.h5", good);
  EXPECT_THROW(write("a b.h5", good), Error);
  EXPECT_THROW(write(".a.h5", good), Error);
  expect_error(ExitCode::storage, {"nowhere/a.h5"}, [&] { write("nowhere/a.h5", good); });
  EXPECT_THROW(write("b.h5", {"param", "line\nbreak", DType::f32, {1}, 0, 1, &one}), Error);
  EXPECT_THROW(write("b.h5", {"param", "\xff", DType::f32, {1}, 0, 1, &one}), Error);
  EXPECT_THROW(write("b.h5", {"pa/ram", "w", DType::f32, {1}, 0, 1, &one}), Error);
  EXPECT_THROW(write("b.h5", {"param", "", DType::f32, {1}, 0, 1, &one}), Error);
  EXPECT_THROW(write("b.h5", {"param", "w", DType::f32, {1}, 1, 1, &one}), Error);
  EXPECT_THROW(write("b.h5", {"param", "w", DType::f32, {1}, 0, 1, nullptr}), Error);
  fs::create_symlink("a.h5", dir_ / "link.h5");
  expect_error(ExitCode::storage, {"link.h5"}, [&] { write("link.h5", good); });
}

TEST_F(CheckpointFormat, equal_content_gives_equal_bytes_and_other_steps_other_bytes) {
  const auto values = odd_values();
  const auto pieces = share_of(values, 0, 2);
  write_checkpoint_file(dir_ / "a.h5", 5, pieces);
  write_checkpoint_file(dir_ / "b.h5", 5, pieces);
  write_checkpoint_file(dir_ / "c.h5", 6, pieces);
  EXPECT_EQ(read_bytes(dir_ / "a.h5"), read_bytes(dir_ / "b.h5"));
  EXPECT_NE(read_bytes(dir_ / "a.h5"), read_bytes(dir_ / "c.h5"));
}

TEST_F(CheckpointFormat, two_pieces_of_a_tensor_in_one_file_have_names_of_their_own) {
  const SavedValue value = random_value("param/w", DType::u8, {10}, 1);
  const PieceSource pieces[] = {{"param", "w", DType::u8, {10}, 6, 4, value.bytes.data() + 6},
                                {"param", "w", DType::u8, {10}, 0, 6, value.bytes.data()},
                                {"param", "w@2", DType::u8, {10}, 0, 10, value.bytes.data()}};
  const std::string folder = store_.begin(1);
  const WrittenFile written[] = {write_checkpoint_file(folder + "/a.h5", 1, pieces)};
  CheckpointManifest manifest = plain_manifest(1, 1);
  merge_written(manifest, written);
  const std::string path = store_.commit(manifest);
  expect_values(path, {value, {"param", "w@2", DType::u8, {10}, value.bytes}});
  EXPECT_EQ(hdf5::File::open(path + "/a.h5").dataset_names().size(), 3U);
}

TEST_F(CheckpointFormat, the_hdf5_library_reads_what_was_laid_out) {
  const auto values = odd_values();
  const std::string folder = save(store_, 21, values, 2);
  const auto file = hdf5::File::open(folder + "/rank_0000.h5");
  EXPECT_EQ(file.read_string("/", "format"), "trireme-checkpoint");
  EXPECT_EQ(file.read_i64("/", "version"), 1);
  EXPECT_EQ(file.read_i64("/", "step"), 21);
  EXPECT_EQ(file.dataset_names().size(), values.size());
  const CheckpointManifest manifest = read_manifest(folder);
  for (const auto& value : values) {
    const auto tensor = std::ranges::find(manifest.tensors, value.plane + "/" + value.name, &SavedTensor::label);
    if (tensor->pieces.empty()) continue;
    const SavedPiece& piece = tensor->pieces[0];
    EXPECT_EQ(file.contiguous_offset(piece.dataset), piece.offset);
    EXPECT_EQ(file.info(piece.dataset).dtype, value.dtype);
    EXPECT_EQ(file.read_string(piece.dataset, "name"), value.name);
    EXPECT_EQ(file.read_string(piece.dataset, "plane"), value.plane);
    EXPECT_EQ(file.read_string(piece.dataset, "xxh3_128"), piece.hash.hex());
    Bytes bytes(value.bytes.size());
    file.read_rows(piece.dataset, 0, piece.count, bytes.data());
    EXPECT_EQ(bytes, value.bytes);
  }
}

TEST_F(CheckpointFormat, h5dump_opens_it) {
  if (!command("command -v h5dump")) GTEST_SKIP() << "skipped: no h5dump";
  const float data[] = {1.5f, -2.0f, 0.25f, 8.0f, 0.0f, 3.0f};
  const PieceSource piece{"param", "0.weight", DType::f32, {4, 3}, 6, 6, data};
  write_checkpoint_file(dir_ / "a.h5", 7, std::span(&piece, 1));
  ASSERT_TRUE(command("h5dump " + (dir_ / "a.h5"))) << output();
  const std::string text = output();
  for (const char* words : {"DATASET \"param.0.weight\"", "(0): 1.5, -2, 0.25, 8, 0, 3", "ATTRIBUTE \"shape\"",
                            "(0): 4, 3", "ATTRIBUTE \"first\"", "(0): 6", "\"0.weight\"", "ATTRIBUTE \"xxh3_128\""}) {
    EXPECT_NE(text.find(words), std::string::npos) << words << " in " << text;
  }
  ASSERT_TRUE(command("h5stat " + (dir_ / "a.h5"))) << output();
}

TEST_F(CheckpointFormat, h5py_opens_it) {
  if (!command("python3 -c 'import h5py'")) GTEST_SKIP() << "skipped: no python3 with h5py";
  const float data[] = {1.5f, -2.0f, 0.25f};
  const Float16 halves[] = {Float16(0.5f), Float16(-4.0f)};
  const PieceSource pieces[] = {{"param", "0.weight", DType::f32, {2, 3}, 3, 3, data},
                                {"state", "half", DType::f16, {2}, 0, 2, halves}};
  write_checkpoint_file(dir_ / "a.h5", 7, pieces);
  const std::string script =
      "import h5py\n"
      "f = h5py.File('" +
      (dir_ / "a.h5") +
      "', 'r')\n"
      "d, a = f['param.0.weight'], f['param.0.weight'].attrs\n"
      "print(f.attrs['step'], d[:].tolist(), a['shape'].tolist(), a['first'], a['name'].decode(), "
      "f['state.half'][:].tolist())\n";
  write_file_atomically(dir_ / "read.py", script);
  ASSERT_TRUE(command("python3 " + (dir_ / "read.py"))) << output();
  EXPECT_EQ(output(), "7 [1.5, -2.0, 0.25] [2, 3] 3 0.weight [0.5, -4.0]\n");
}

TEST(CheckpointName, one_spelling_a_step) {
  EXPECT_EQ(checkpoint_name(100), "step_00000100");
  EXPECT_EQ(checkpoint_name(1'234'567'890), "step_1234567890");
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{7}, std::int64_t{99'999'999}, std::int64_t{100'000'000},
                                  std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(checkpoint_step(checkpoint_name(step)), step);
  }
  for (const char* name : {"", "step_", "step_1", "step_000000001", "step_0000000x", "step_-0000001", "step_+0000001",
                           "step_00000100 ", "Step_00000100", ".step_00000100", "step_99999999999999999999"}) {
    EXPECT_EQ(checkpoint_step(name), -1) << name;
  }
}

}  // namespace
}  // namespace trireme
