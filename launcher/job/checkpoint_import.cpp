// `trireme checkpoint import`: a folder of a Hugging Face model as a checkpoint of ours with weights alone, to begin a
// run from (--init-from). Nothing is left where a tensor is missing, unknown or of another shape.
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/base/now.hpp"
#include "core/models/hugging_face_tensors.hpp"
#include "core/tensor/convert.hpp"
#include "datasets/progress.hpp"
#include "datasets/summary.hpp"
#include "datasets/writer.hpp"
#include "launcher/job/checkpoint_command.hpp"
#include "launcher/job/sub_commands.hpp"
#include "launcher/job/text_table.hpp"
#include "launcher/run/checkpoint_file.hpp"
#include "launcher/run/checkpoint_store.hpp"
#include "launcher/run/model_folder.hpp"
#include "launcher/run/print.hpp"

namespace trireme {
namespace {

constexpr const char* import_name = "trireme checkpoint import";
constexpr std::int64_t step = 0;
/// What parameters are kept in.
constexpr DType ours = DType::f32;

/// What all tensors are read with: one buffer, so that memory does not grow with their number.
struct ImportPass {
  const SafeTensors& files;
  Progress& progress;
  std::vector<std::byte> raw = {};
};

/// The elements of one tensor of ours, from those that make it up, front to back.
class Source {
 public:
  Source(ImportPass& pass, const FoundModel::Entry& entry) : pass_(pass), entry_(entry) {}

  void fill(std::span<std::byte> out) {
    while (!out.empty()) {
      const SafeTensor& tensor = *entry_.parts.at(part_);
      const DType dtype = *safetensors_dtype(tensor.dtype);
      const std::int64_t left = tensor.shape.elements() - done_;
      if (left == 0) {
        done_ = 0;
        ++part_;
        continue;
      }
      const std::size_t some = std::min(to_size(left), out.size() / size_of(ours));
      pass_.raw.resize(some * size_of(dtype));
      pass_.files.read(tensor, done_ * static_cast<std::int64_t>(size_of(dtype)), pass_.raw);
      overflowed_ += convert_elements(dtype, pass_.raw, ours, out.first(some * size_of(ours)));
      out = out.subspan(some * size_of(ours));
      done_ += static_cast<std::int64_t>(some);
      pass_.progress.advance(static_cast<std::int64_t>(some));
    }
  }
  std::int64_t overflowed() const { return overflowed_; }

 private:
  ImportPass& pass_;
  const FoundModel::Entry& entry_;
  std::size_t part_ = 0;
  std::int64_t done_ = 0, overflowed_ = 0;
};

bool same_bytes(const SafeTensors& files, const SafeTensor& a, const SafeTensor& b) {
  if (a.dtype != b.dtype || a.size() != b.size()) return false;
  std::vector<std::byte> one(std::size_t{1} << 20), other(one.size());
  for (std::int64_t at = 0; at < a.size();) {
    const std::size_t some = std::min(one.size(), to_size(a.size() - at));
    files.read(a, at, std::span(one).first(some));
    files.read(b, at, std::span(other).first(some));
    if (!std::equal(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(some), other.begin())) return false;
    at += static_cast<std::int64_t>(some);
  }
  return true;
}

void check_head(const SafeTensors& files, const FoundModel& model) {
  if (model.head == nullptr || same_bytes(files, *model.head, *model.embedding)) return;
  fail(ExitCode::corrupt_input,
       "{} differs from {}: config.json says that the head is the embedding (tie_word_embeddings), so the two must be "
       "equal",
       files.place(*model.head), files.place(*model.embedding));
}

std::int64_t elements_of(const FoundModel& model) {
  std::int64_t elements = 0;
  for (const auto& entry : model.entries) elements = checked_add(elements, entry.mapping.shape.elements());
  return elements;
}

void write_checkpoint(const std::string& folder, const SafeTensors& files, const FoundModel& model) {
  const CheckpointStore store(folder + "/checkpoints");
  const std::string partial = store.begin(step);
  Progress progress("importing", elements_of(model), "elements");
  ImportPass pass{files, progress};
  std::vector<Source> sources;
  std::vector<PieceSource> pieces;
  for (const auto& entry : model.entries) sources.emplace_back(pass, entry);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const TensorMapping& mapping = model.entries[i].mapping;
    pieces.push_back({.plane = "param",
                      .name = mapping.name,
                      .dtype = ours,
                      .shape = mapping.shape,
                      .first = 0,
                      .count = mapping.shape.elements(),
                      .data = nullptr,
                      .ask = [&sources, i](std::int64_t, std::span<std::byte> out) { sources[i].fill(out); }});
  }
  CheckpointManifest manifest{.step = step,
                              .samples = 0,
                              .ranks = 1,
                              .version = TRIREME_VERSION,
                              .created = utc_now(),
                              .data = "none",
                              .options = Json::object(),
                              .trainer = Json::object(),
                              .files = {},
                              .tensors = {}};
  const WrittenFile written = write_checkpoint_file(partial + "/rank_00000.h5", step, pieces);
  merge_written(manifest, {&written, 1});
  store.commit(manifest);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].overflowed() == 0) continue;
    log::warning("{}: {} values are too large for {} and became infinite", pieces[i].name, sources[i].overflowed(),
                 name_of(ours));
  }
}

}  // namespace

int checkpoint_import_command(std::span<const std::string> args) {
  std::string to;
  CommandLine line({.name = import_name,
                    .summary = "makes a checkpoint with weights alone from a Hugging Face model (gpt2, llama, mistral)",
                    .examples = {"trireme checkpoint import models/gpt2 --to imported/gpt2"}},
                   {.words = "DIR", .description = "a folder with config.json and model.safetensors, or its shards"});
  line.options().add("to", &to, "the folder to be made; must be given. It is what --init-from takes");
  const auto words = line.parse(args);
  if (!words) return 0;
  if (to.empty()) fail(ExitCode::usage, "{}: say where to: --to DIR", import_name);
  const std::string& from = words->front();
  const auto config = read_model_config(from);
  if (!config) fail(ExitCode::usage, "{}: there is no {} in '{}'", import_name, model_config_file, from);
  const SafeTensors files(from);
  const FoundModel model = find_model(config->model, files);
  check_head(files, model);
  StagedFolder folder(to, Existing::refuse, new_model_folder("import"));
  write_checkpoint(folder.path(), files, model);
  write_model_config(folder.path(), *config);
  std::vector<std::string> kept{model_config_file};
  for (const std::string& name : copy_tokenizer(from, folder.path())) kept.push_back(name);
  folder.publish();
  std::string text = fmt::format("{}\n  {} tensors from {} file{}, {} elements, to {}: {}, {}\n", harmless(from),
                                 model.entries.size(), files.files().size(), files.files().size() == 1 ? "" : "s",
                                 elements_of(model), harmless(to), checkpoint_name(step), fmt::join(kept, ", "));
  if (!model.left_out.empty())
    text += fmt::format("  left out: {}\n", harmless(fmt::format("{}", fmt::join(model.left_out, ", "))));
  if (model.head != nullptr) text += "  left out: lm_head.weight, which is equal to the embedding\n";
  print_out(text);
  return 0;
}

}  // namespace trireme
