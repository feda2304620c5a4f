// The JSON form of the parts of a checkpoint's manifest, and which names are safe in it. Shared by the sources of
// checkpoints.
#pragma once

#include <string_view>

#include "core/io/json_object.hpp"
#include "launcher/run/checkpoint_manifest.hpp"

namespace trireme {

/// In bytes; a thousand ranks with ten thousand tensors stay well below.
inline constexpr std::int64_t largest_manifest = std::int64_t{1} << 30;

Json encode(const SavedFile& file);
Json encode(const SavedTensor& tensor);
SavedFile decode_file(const JsonObject& json);
/// Checks each piece by itself and that it lies in the tensor, not how pieces stand to each other.
SavedTensor decode_tensor(const JsonObject& json);

/// Not empty, UTF-8, without control characters, at most 1024 bytes.
bool is_plain_text(std::string_view text);
/// Letters, digits, '_', '-' and '.', not in front; at most 255.
bool is_plain_file_name(std::string_view name);

}  // namespace trireme
