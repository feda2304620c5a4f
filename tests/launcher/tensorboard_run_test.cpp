// What a run shows: records under their names, gradients as the trainer means them, images scaled and in a row.
#include "launcher/run/tensorboard_run.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/nn/layers.hpp"
#include "tests/launcher/event_file.hpp"
#include "tests/support/temp_dir.hpp"

namespace trireme {
namespace {

using event_file::as_double;
using event_file::as_float;
using event_file::only;

class TensorBoardOfRun : public testing::Test {
 protected:
  std::string folder() const { return temp_ / "tensorboard"; }
  /// The events behind those that begin a file.
  std::vector<event_file::Event> events() const {
    auto all = event_file::read_events(event_file::files_in(folder()).at(0));
    all.erase(all.begin(), all.begin() + 2);
    return all;
  }
  std::vector<std::string> tags() const {
    std::vector<std::string> out;
    for (const auto& event : events())
      for (const auto& value : event.values) out.push_back(only(value, 1).bytes);
    return out;
  }
  const TempDir temp_;
};

TEST_F(TensorBoardOfRun, records_become_scalars) {
  {
    TensorBoardRun run({.folder = folder()});
    run.step({.step = 7, .loss = 1.5, .samples_per_second = 250, .learning_rate = 0.25, .gradient_norm = 2});
    run.validation({.step = 8, .loss = 0.75, .accuracy = 0.5});
  }
  EXPECT_EQ(tags(), (std::vector<std::string>{"train/loss", "train/learning_rate", "train/gradient_norm",
                                              "train/samples_per_second", "validation/loss", "validation/accuracy"}));
  std::vector<float> values;
  for (const auto& event : events())
    for (const auto& value : event.values) values.push_back(as_float(only(value, 2)));
  EXPECT_EQ(values, (std::vector<float>{1.5f, 0.25f, 2, 250, 0.75f, 0.5f}));
  EXPECT_EQ(events().at(0).step, 7);
  EXPECT_EQ(events().at(1).step, 8);
}

TEST_F(TensorBoardOfRun, each_trained_parameter_has_a_histogram_of_its_range) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const TempDir temp;
    const std::string here = temp / "tb";
    Sequential model(Linear(3), Linear(2));
    const ArenaOptions options{.dtype = dtype, .freeze = [](const std::string& name) { return name == "1.bias"; }};
    const ArenaLayout layout = plan_arena(model, options, [&](Context& context) {
      model.forward(context, Tensor::empty({1, 4}, dtype, Device::meta()));
    });
    const Tensor plane = Tensor::zeros({layout.trained_elements()}, dtype);
    // Padding holds a value that no histogram may show.
    for (std::int64_t k = 0; k < plane.elements(); ++k)
      with_wide_floating(dtype, "fill", [&](auto zero) { plane.data<decltype(zero)>()[k] = -1000; });
    for (std::size_t k = 0; k < layout.trained(); ++k) {
      const ArenaEntry& entry = layout.entries()[k];
      for (std::int64_t i = 0; i < entry.count; ++i)
        with_wide_floating(dtype, "fill", [&](auto zero) {
          using T = decltype(zero);
          plane.data<T>()[entry.offset + i] = static_cast<T>(100 * (k + 1)) + static_cast<T>(i);
        });
    }
    {
      TensorBoardRun run({.folder = here});
      run.gradients(40, layout, {.plane = plane, .scale = 0.5});
    }
    const auto all = event_file::read_events(event_file::files_in(here).at(0));
    ASSERT_EQ(layout.trained(), 3u);
    ASSERT_EQ(all.size(), 2 + layout.trained());
    for (std::size_t k = 0; k < layout.trained(); ++k) {
      const ArenaEntry& entry = layout.entries()[k];
      const auto& value = all[2 + k].values.at(0);
      EXPECT_EQ(all[2 + k].step, 40);
      EXPECT_EQ(only(value, 1).bytes, "gradients/" + entry.name);
      const auto histogram = event_file::inner(value, 5);
      EXPECT_EQ(as_double(only(histogram, 1)), 50.0 * static_cast<double>(k + 1));
      EXPECT_EQ(as_double(only(histogram, 2)),
                50.0 * static_cast<double>(k + 1) + 0.5 * static_cast<double>(entry.count - 1));
      EXPECT_EQ(as_double(only(histogram, 3)), static_cast<double>(entry.count));
    }
  }
}

/// The pixels TensorBoard shows for the last image, "WIDTHxHEIGHT MODE HEX".
std::string shown(const std::string& folder) {
  const Json image = event_file::read_by_tensorboard(folder)["images"]["train/images"].back().at(1);
  return fmt::format("{}x{} {} {}", image["width"].get<int>(), image["height"].get<int>(),
                     image["mode"].get<std::string>(), image["pixels"].get<std::string>());
}

class ImagesOfRun : public TensorBoardOfRun {
 protected:
  void SetUp() override {
    if (!png_available()) GTEST_SKIP() << "skipped: built without libpng";
    if (!event_file::tensorboard_there()) GTEST_SKIP() << "skipped: no tensorboard";
  }
  std::string show(const Tensor& batch) const {
    {
      TensorBoardRun run({.folder = folder()});
      run.images(1, batch);
    }
    return shown(folder());
  }
};

TEST_F(ImagesOfRun, bytes_stand_side_by_side_as_they_are) {
  const std::vector<std::uint8_t> two = {1, 2, 3, 4, 0x51, 0x52, 0x53, 0x54};
  EXPECT_EQ(show(Tensor::from(two, {2, 2, 2, 1})), "6x2 L 010200005152030400005354");
  const std::vector<std::uint8_t> clear = {1, 2, 3, 0, 5, 6, 7, 255};
  EXPECT_EQ(show(Tensor::from(clear, {1, 1, 2, 4})), "2x1 RGBA 01020300050607ff");
}

TEST_F(ImagesOfRun, floats_are_stretched_over_all_images) {
  // -1 is black, 3 white, 1 between them; what is not finite is black.
  const std::vector<float> grey = {-1, 1, 3, NAN};
  EXPECT_EQ(show(Tensor::from(grey, {2, 1, 2, 1})), "6x1 L 00800000ff00");
  const std::vector<double> colour = {0, 0.2, 1, 1, 0.4, 0.6};
  EXPECT_EQ(show(Tensor::from(colour, {1, 1, 2, 3})), "2x1 RGB 0033ffff6699");
  EXPECT_EQ(show(Tensor::from(std::vector<float>(4, 0.7f), {1, 2, 2, 1})), "2x2 L 00000000");
}

TEST_F(ImagesOfRun, at_most_eight_and_of_strange_channels_the_first) {
  std::vector<std::uint8_t> many(static_cast<std::size_t>(9) * 5);
  for (std::size_t k = 0; k < many.size(); ++k) many[k] = static_cast<std::uint8_t>(k);
  EXPECT_EQ(show(Tensor::from(many, {9, 1, 1, 5})),
            "22x1 L 000000"
            "050000"
            "0a0000"
            "0f0000"
            "140000"
            "190000"
            "1e0000"
            "23");
}

TEST_F(TensorBoardOfRun, what_is_no_image_is_left_out) {
  TensorBoardRun run({.folder = folder()});
  run.images(1, Tensor::zeros({4, 10}, DType::f32));
  run.images(1, Tensor::zeros({2, 2, 2, 1}, DType::i32));
  run.images(1, Tensor::zeros({0, 2, 2, 1}, DType::f32));
  run.images(1, Tensor());
  EXPECT_EQ(events().size(), 0u);
}

TEST_F(TensorBoardOfRun, details_come_every_so_many_steps) {
  const TensorBoardRun often({.folder = folder(), .every = 20}), never({.folder = folder()});
  EXPECT_FALSE(often.details_due(19));
  EXPECT_TRUE(often.details_due(40));
  EXPECT_FALSE(never.details_due(40));
  write_file_atomically(temp_ / "taken", "");
  const TensorBoardRun off({.folder = temp_ / "taken", .every = 20});
  EXPECT_FALSE(off.details_due(40));
}

TEST_F(TensorBoardOfRun, options_are_a_table_that_markdown_cannot_break) {
  const std::vector<ResolvedOption> options = {{"Training", "epochs", "3", "command line"},
                                               {"Training", "batch", "64", "default"},
                                               {"Run", "run-dir", "a|b_*c<\n", "run.ini:4"}};
  EXPECT_EQ(options_table(options),
            "### Training\n\n| option | value | from |\n|---|---|---|\n"
            "| epochs | 3 | command line |\n| batch | 64 | default |\n"
            "\n### Run\n\n| option | value | from |\n|---|---|---|\n"
            "| run-dir | a\\|b\\_\\*c&lt;  | run.ini:4 |\n");
  {
    TensorBoardRun run({.folder = folder(), .first_step = 30});
    run.hyperparameters(options);
  }
  ASSERT_EQ(events().size(), 1u);
  EXPECT_EQ(events()[0].step, 31);
  EXPECT_EQ(only(event_file::inner(events()[0].values.at(0), 8), 8).bytes, options_table(options));
}

}  // namespace
}  // namespace trireme
