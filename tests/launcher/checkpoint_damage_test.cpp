// Damage of every kind to a checkpoint of three files: verification and a load that reads everything both find each,
// and name the file, and the tensor where it lies in one. TRIREME_MUTATIONS sets how many are tried.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>

#include "core/io/file.hpp"
#include "tests/launcher/checkpoint_helpers.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, Bytes>;

/// Bytes of one file that a mutation has changed.
struct Touched {
  std::string file;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// A damaged copy of the files, and what must be named.
struct Damage {
  std::string what;
  Files files;
  std::vector<Touched> touched;
  std::string folder = checkpoint_name(7);
};

class Damager {
 public:
  Damager(const Files& good, const Files& other, std::uint64_t seed) : good_(good), other_(other), bits_(seed) {}

  Damage draw() {
    for (;;) {
      damage_ = {"", good_, {}};
      apply(below(12));
      if (damage_.files != good_ || damage_.folder != checkpoint_name(7)) return std::move(damage_);
    }
  }

 private:
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(bits_() % to_size(n)); }
  std::string any_file() { return std::next(good_.begin(), below(static_cast<std::int64_t>(good_.size())))->first; }
  std::string any_shard() { return fmt::format("rank_{:04}.h5", below(4)); }
  static std::int64_t size(const Bytes& bytes) { return static_cast<std::int64_t>(bytes.size()); }

  void apply(std::int64_t kind) {
    const std::string name = any_file();
    switch (kind) {
      case 0:
        return truncate(name);
      case 1:
        return extend(name);
      case 2:
        return zero_page(name);
      case 3:
        return overwrite(name);
      case 4:
        return exchange(any_shard(), any_shard());
      case 5:
        return replace(manifest_file, "the manifest of another step");
      case 6:
        return replace(any_shard(), "the shard of another step");
      case 7:
        damage_.what = "missing " + name;
        damage_.files.erase(name);
        damage_.touched = {{name, 0, size(good_.at(name))}};
        return;
      case 8:
        damage_.what = "renamed folder";
        damage_.folder = checkpoint_name(8 + below(1000));
        damage_.touched = {{manifest_file, 0, 0}};
        return;
      default:
        return flip(name);
    }
  }

  void flip(const std::string& name) {
    Bytes& bytes = damage_.files.at(name);
    const std::int64_t at = below(size(bytes)), bit = below(8);
    damage_.what = fmt::format("bit {} of byte {} of {}", bit, at, name);
    bytes[to_size(at)] = static_cast<std::uint8_t>(bytes[to_size(at)] ^ (1 << bit));
    damage_.touched = {{name, at, at + 1}};
  }

  void truncate(const std::string& name) {
    Bytes& bytes = damage_.files.at(name);
    const std::int64_t left = below(size(bytes));
    damage_.what = fmt::format("{} cut to {} bytes", name, left);
    damage_.touched = {{name, left, size(bytes)}};
    bytes.resize(to_size(left));
  }

  void extend(const std::string& name) {
    Bytes& bytes = damage_.files.at(name);
    const std::int64_t more = 1 + below(5000);
    damage_.what = fmt::format("{} with {} bytes more", name, more);
    damage_.touched = {{name, size(bytes), size(bytes) + more}};
    const bool zeros = below(2) == 0;
    for (std::int64_t i = 0; i < more; ++i)
      bytes.push_back(zeros ? std::uint8_t{0} : static_cast<std::uint8_t>(bits_()));
  }

  void zero_page(const std::string& name) {
    const std::int64_t pages = size(good_.at(name)) / 4096 + 1;
    const std::int64_t begin = below(pages) * 4096, end = std::min(begin + 4096, size(good_.at(name)));
    damage_.what = fmt::format("zeros in bytes [{}, {}) of {}", begin, end, name);
    change(name, begin, Bytes(to_size(std::max<std::int64_t>(end - begin, 0)), 0));
  }

  void overwrite(const std::string& name) {
    const std::int64_t begin = below(size(good_.at(name))),
                       end = std::min(begin + 1 + below(700), size(good_.at(name)));
    damage_.what = fmt::format("other bytes in [{}, {}) of {}", begin, end, name);
    Bytes bytes(to_size(end - begin));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(bits_());
    change(name, begin, bytes);
  }

  void exchange(const std::string& a, const std::string& b) {
    damage_.what = "exchanged " + a + " and " + b;
    std::swap(damage_.files.at(a), damage_.files.at(b));
    damage_.touched = {{a, 0, 0}, {b, 0, 0}};
  }

  void replace(const std::string& name, const char* what) {
    damage_.what = std::string(what) + " in place of " + name;
    damage_.files.at(name) = other_.at(name);
    damage_.touched = {{name, 0, 0}};
  }

  /// Writes bytes and notes those that differ from what was there.
  void change(const std::string& name, std::int64_t begin, const Bytes& bytes) {
    Bytes& all = damage_.files.at(name);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::int64_t at = begin + static_cast<std::int64_t>(i);
      if (all[to_size(at)] == bytes[i]) continue;
      all[to_size(at)] = bytes[i];
      damage_.touched.push_back({name, at, at + 1});
    }
  }

  const Files& good_;
  const Files& other_;
  std::mt19937_64 bits_;
  Damage damage_;
};

class Damaged : public testing::Test {
 protected:
  Damaged() {
    auto values = odd_values(5);
    values.push_back(random_value("param/more", DType::f32, {6000}, 50));
    values.push_back(random_value("state/zeros", DType::f32, {3000}, 51));
    std::fill(values.back().bytes.begin(), values.back().bytes.end(), std::uint8_t{0});
    good_ = files_of(save(store_, 7, values, 4));
    manifest_ = read_manifest(store_.folder() + "/" + checkpoint_name(7));
    other_ = files_of(save(store_, 6, values, 4));
    fs::remove_all(store_.folder());
  }

  static Files files_of(const std::string& folder) {
    Files files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      files[entry.path().filename().string()] = read_bytes(entry.path().string());
    }
    EXPECT_EQ(files.size(), 5U);
    return files;
  }

  std::string write(const Damage& damage) {
    const std::string folder = dir_ / damage.folder;
    if (folder != on_disk_folder_ || on_disk_.empty()) {
      fs::remove_all(on_disk_folder_);
      fs::create_directories(folder);
      on_disk_.clear();
      on_disk_folder_ = folder;
    }
    for (const auto& [name, bytes] : damage.files) {
      if (const auto it = on_disk_.find(name); it == on_disk_.end() || it->second != bytes) {
        write_bytes(folder + "/" + name, bytes);
      }
    }
    for (const auto& [name, bytes] : on_disk_) {
      if (!damage.files.contains(name)) fs::remove(folder + "/" + name);
    }
    on_disk_ = damage.files;
    return folder;
  }

  /// The labels of the tensors whose bytes were touched.
  std::set<std::string> tensors_of(const std::vector<Touched>& touched) const {
    std::set<std::string> labels;
    for (const auto& tensor : manifest_.tensors) {
      for (const auto& piece : tensor.pieces) {
        const std::int64_t end = piece.offset + piece.count * static_cast<std::int64_t>(size_of(tensor.dtype));
        for (const auto& t : touched) {
          if (t.file == piece.file && t.begin < end && piece.offset < t.end) labels.insert(tensor.label());
        }
      }
    }
    return labels;
  }

  static std::string load(const std::string& folder) {
    try {
      const CheckpointReader reader(folder);
      for (const auto& tensor : reader.manifest().tensors) read_range(reader, tensor, 0, tensor.shape.elements());
      for (const auto& file : reader.manifest().files) reader.check_structure(file);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::corrupt_input) << error.what();
      return error.what();
    }
  }

  void expect_found(const Damage& damage) {
    const std::string folder = write(damage);
    const std::string problems = joined(verify_checkpoint(folder)), error = load(folder);
    EXPECT_NE(problems, "") << "verification is silent";
    EXPECT_NE(error, "") << "loading is silent";
    std::set<std::string> files;
    for (const auto& touched : damage.touched) files.insert(touched.file);
    bool named = false, resized = false;
    for (const auto& file : files) {
      EXPECT_NE(problems.find(file), std::string::npos) << file << " is not in: " << problems;
      named = named || error.find(file) != std::string::npos;
      const auto it = damage.files.find(file);
      resized =
          resized || (it != damage.files.end() && file != manifest_file && it->second.size() != good_.at(file).size());
    }
    if (resized) {
      EXPECT_NE(problems.find("were written"), std::string::npos) << problems;
      EXPECT_NE(error.find("were written"), std::string::npos) << error;
    }
    EXPECT_TRUE(named) << error;
    expect_tensors(damage, problems, error);
  }

  void expect_tensors(const Damage& damage, const std::string& problems, const std::string& error) const {
    const auto labels = tensors_of(damage.touched);
    if (labels.empty()) return;
    const std::string& file = damage.touched.front().file;
    const bool missing = !damage.files.contains(file);
    const bool same_size = !missing && damage.files.at(file).size() == good_.at(file).size();
    int in_problems = 0, in_error = 0;
    for (const auto& label : labels) {
      in_problems += problems.find(label) != std::string::npos ? 1 : 0;
      in_error += error.find(label) != std::string::npos ? 1 : 0;
    }
    // Of a missing file one tensor is named and the others are counted.
    EXPECT_GE(in_problems, missing ? 1 : static_cast<int>(labels.size())) << problems;
    EXPECT_GE(in_error, same_size ? 1 : 0) << error;
  }

  TempDir dir_;
  CheckpointStore store_{dir_ / "c"};
  Files good_, other_;
  CheckpointManifest manifest_;
  Files on_disk_;
  std::string on_disk_folder_;
};

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST_F(Damaged, no_mutation_is_silent) {
  const std::uint64_t mutations = number_from("TRIREME_MUTATIONS", 3000);
  const std::uint64_t seed = number_from("TRIREME_MUTATION_SEED", std::random_device{}());
  std::cout << "mutations " << mutations << " from seed " << seed << "\n";
  const std::string whole = write({"nothing", good_, {}});
  ASSERT_EQ(joined(verify_checkpoint(whole)), "");
  ASSERT_EQ(load(whole), "");
  for (std::uint64_t i = 0; i < mutations; ++i) {
    const Damage damage = Damager(good_, other_, seed + i).draw();
    expect_found(damage);
    if (HasFailure()) {
      FAIL() << damage.what << "; again by: TRIREME_MUTATIONS=1 TRIREME_MUTATION_SEED=" << seed + i
             << " tests_launcher --gtest_filter='Damaged.no_mutation_is_silent'";
    }
  }
}

}  // namespace
}  // namespace trireme
