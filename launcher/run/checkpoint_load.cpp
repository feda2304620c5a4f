#include "launcher/run/checkpoint_load.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "core/base/checked.hpp"
#include "core/base/log.hpp"
#include "core/tensor/convert.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;

/// The first few of a list, for messages.
std::string some_of(const std::vector<std::string>& lines) {
  constexpr std::size_t most = 5;
  const std::size_t shown = std::min(most, lines.size());
  std::string out =
      fmt::format("{}", fmt::join(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  if (lines.size() > shown) out += fmt::format("; and {} more", lines.size() - shown);
  return out;
}

bool has_averages(const std::vector<std::string>& planes) { return std::ranges::count(planes, "average") > 0; }

/// Where only one of the two has averages of the weights, that is all there is to say.
std::vector<std::string> average_difference(const CheckpointReader& reader, const std::vector<NamedTensor>& into) {
  std::vector<std::string> theirs, ours;
  for (const SavedTensor& saved : reader.manifest().tensors) theirs.push_back(saved.plane);
  for (const NamedTensor& one : into) ours.push_back(one.plane);
  if (has_averages(ours) == has_averages(theirs)) return {};
  if (has_averages(ours)) return {"it was saved by a run without --ema and has no averages of the weights"};
  return {"it was saved by a run with --ema, whose averages of the weights would be lost"};
}

/// How the tensors of a checkpoint and of this run differ.
std::vector<std::string> differences(const CheckpointReader& reader, const std::vector<NamedTensor>& into) {
  std::vector<std::string> out = average_difference(reader, into);
  if (!out.empty()) return out;
  std::set<std::string> ours;
  for (const NamedTensor& one : into) {
    const std::string label = one.plane + "/" + one.name;
    ours.insert(label);
    const SavedTensor* saved = reader.find(one.plane, one.name);
    if (saved == nullptr) {
      out.push_back(fmt::format("it lacks {}", label));
    } else if (saved->shape != one.shape || saved->dtype != one.tensor.dtype()) {
      out.push_back(fmt::format("{} is {} {} there and {} {} here", label, name_of(saved->dtype), saved->shape.text(),
                                name_of(one.tensor.dtype()), one.shape.text()));
    }
  }
  for (const SavedTensor& saved : reader.manifest().tensors)
    if (!ours.contains(saved.label())) out.push_back(fmt::format("it has {} beyond", saved.label()));
  return out;
}

void read_into(const CheckpointReader& reader, const SavedTensor& saved, const Tensor& to) {
  const bool direct = to.device() == Device::cpu() && to.dtype() == saved.dtype;
  const Tensor host = direct ? to : Tensor::empty({saved.shape.elements()}, saved.dtype);
  reader.read(saved, 0, saved.shape.elements(), host.raw());
  if (direct) return;
  if (to.dtype() == saved.dtype) return to.copy_from(host);
  const Tensor converted = Tensor::empty({saved.shape.elements()}, to.dtype());
  const std::int64_t overflowed =
      convert_elements(saved.dtype, {static_cast<const std::byte*>(host.raw()), host.bytes()}, to.dtype(),
                       {static_cast<std::byte*>(converted.raw()), converted.bytes()});
  if (overflowed > 0)
    log::warning("{}: {} values are too large for {} and became infinite", saved.label(), overflowed,
                 name_of(to.dtype()));
  to.copy_from(converted);
}

/// Runs `work` with a reader on every rank; the first complaint of any rank about damage, empty where all is well. A
/// complaint of another kind (a network that differs) is thrown, on all ranks alike.
std::string on_all_ranks(Communicator& ranks, const std::string& path,
                         const std::function<void(const CheckpointReader&)>& work) {
  std::string damage, misuse;
  try {
    const CheckpointReader reader(path);
    work(reader);
  } catch (const Error& error) {
    (error.code() == ExitCode::usage ? misuse : damage) = error.what();
  } catch (const std::exception& error) {
    damage = error.what();
  }
  const std::string of_all = first_complaint(ranks, damage);
  if (!of_all.empty()) return of_all;
  if (const std::string text = first_complaint(ranks, misuse); !text.empty()) throw Error(text, ExitCode::usage);
  return "";
}

/// The candidates as rank 0 sees them.
std::vector<std::string> agreed(Communicator& ranks, const std::vector<std::string>& candidates) {
  const std::string text = ranks.all_gather_text(Json(candidates).dump()).front();
  return Json::parse(text).get<std::vector<std::string>>();
}

/// Works through the candidates until one is whole; returns its path, empty where there is no candidate.
std::string first_whole(Communicator& ranks, const std::vector<std::string>& candidates,
                        const std::function<void(const CheckpointReader&)>& work) {
  std::string last_damage;
  for (const std::string& path : candidates) {
    last_damage = on_all_ranks(ranks, path, work);
    if (last_damage.empty()) return path;
    if (ranks.rank() == 0) log::warning("checkpoint {} is damaged and left out: {}", path, last_damage);
  }
  if (candidates.empty()) return "";
  fail(ExitCode::corrupt_input,
       "none of {} checkpoint{} is whole, the last complaint was: {}. Nothing was changed; to start from the beginning "
       "use another --run-dir, or --resume never with --overwrite",
       candidates.size(), candidates.size() == 1 ? "" : "s", last_damage);
}

}  // namespace

std::vector<std::string> checkpoints_at(const std::string& path) {
  const fs::path given = fs::path(path).lexically_normal();
  const fs::path folder = given.has_filename() ? given : given.parent_path();
  if (checkpoint_step(folder.filename().string()) >= 0) return {folder.string()};
  std::error_code error;
  const fs::path inside = folder / "checkpoints";
  const auto list = CheckpointStore((fs::is_directory(inside, error) ? inside : folder).string()).list();
  std::vector<std::string> out;
  for (auto one = list.rbegin(); one != list.rend(); ++one) out.push_back(one->path);
  return out;
}

std::optional<LoadedCheckpoint> load_newest(Communicator& ranks, const std::vector<std::string>& candidates,
                                            const std::vector<NamedTensor>& into) {
  LoadedCheckpoint out;
  out.path = first_whole(ranks, agreed(ranks, candidates), [&](const CheckpointReader& reader) {
    if (const auto list = differences(reader, into); !list.empty())
      fail(ExitCode::usage,
           "the checkpoint {} is of another network or optimizer: {}. Start with the options it was made with, or take "
           "what fits by --init-from",
           reader.folder(), some_of(list));
    for (const NamedTensor& one : into) read_into(reader, *reader.find(one.plane, one.name), one.tensor);
    // Last: what lies between the tensors came from the disk with them.
    const auto& files = reader.manifest().files;
    for (std::size_t k = 0; k < files.size(); ++k)
      if (k % to_size(ranks.size()) == to_size(ranks.rank())) reader.check_structure(files[k]);
    out.manifest = reader.manifest();
  });
  if (out.path.empty()) return std::nullopt;
  out.manifest.files.clear();
  out.manifest.tensors.clear();
  return out;
}

const char* plane_of(WeightKind kind, const CheckpointManifest& manifest) {
  const bool there =
      std::ranges::any_of(manifest.tensors, [](const SavedTensor& one) { return one.plane == "average"; });
  return kind == WeightKind::averaged && there ? "average" : "param";
}

TakenWeights load_weights(Communicator& ranks, const SavedWeights& from, const std::vector<NamedTensor>& into) {
  std::vector<NamedTensor> weights;
  for (const NamedTensor& one : into)
    if (one.plane == "param" || one.plane == "state") weights.push_back(one);
  TakenWeights out;
  std::vector<std::string>& lines = out.differences;
  out.checkpoint = first_whole(ranks, agreed(ranks, from.candidates), [&](const CheckpointReader& reader) {
    const std::string parameters = plane_of(from.kind, reader.manifest());
    out.kind = parameters == "average" ? WeightKind::averaged : WeightKind::trained;
    lines.clear();
    std::set<std::string> ours;
    std::size_t taken = 0;
    for (const NamedTensor& one : weights) {
      const SavedTensor* saved = reader.find(one.plane == "param" ? parameters : one.plane, one.name);
      ours.insert(one.plane + "/" + one.name);
      if (saved == nullptr) {
        lines.push_back(fmt::format("{}/{}: not in the checkpoint, keeps its first values", one.plane, one.name));
      } else if (saved->shape != one.shape) {
        lines.push_back(fmt::format("{}: {} in the checkpoint, {} here; keeps its first values", saved->label(),
                                    saved->shape.text(), one.shape.text()));
      } else {
        read_into(reader, *saved, one.tensor);
        ++taken;
      }
    }
    for (const SavedTensor& saved : reader.manifest().tensors)
      if ((saved.plane == "param" || saved.plane == "state") && !ours.contains(saved.label()))
        lines.push_back(fmt::format("{}: in the checkpoint, not in this network", saved.label()));
    if (taken == 0)
      fail(ExitCode::usage, "--init-from {}: not one of its weights fits this network: {}", reader.folder(),
           some_of(lines));
  });
  return out;
}

}  // namespace trireme
