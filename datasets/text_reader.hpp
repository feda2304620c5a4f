// Texts of files and folders, as documents in pieces: plain files and JSON lines, compressed or not, with bounded
// memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/gzip.hpp"
#include "core/io/json.hpp"

namespace trireme {

enum class TextFormat : std::uint8_t { by_name, text, json_lines };
/// What a document of a plain text is.
enum class DocumentUnit : std::uint8_t { file, line };

struct TextInput {
  /// Files, and folders, of which all files are taken that are not hidden, in the order of their names.
  std::vector<std::string> paths = {};
  /// by_name: .jsonl and .ndjson (also .gz) are JSON lines, the rest is text.
  TextFormat format = TextFormat::by_name;
  DocumentUnit unit = DocumentUnit::file;
  /// Of a JSON line: where its text is.
  std::string field = "text";
  /// The last place at which a text may be cut in two, 0 for none; see safe_cut().
  std::function<std::size_t(std::string_view)> cut = nullptr;
};

/// Part of a document. Empty documents are left out.
struct TextPiece {
  std::string text;
  bool ends = false;          ///< Its document ends with it.
  std::int64_t document = 0;  ///< Counted from 0.
  std::int64_t begin = 0;     ///< Bytes of text before it, in all documents together.
};

class TextReader {
 public:
  /// ExitCode::corrupt_input where a path is missing or a folder has no files.
  explicit TextReader(TextInput input);

  /// The next piece; false where there is none. Long files come in pieces of about a megabyte; where `cut` finds no
  /// place in 16 MiB, they are cut between two characters. ExitCode::corrupt_input with file and line for a line that
  /// is not an object with a text in `field`.
  bool next(TextPiece& piece);

  /// Where documents are lines: that of the last piece in its file, counted from 1.
  std::int64_t line() const { return line_; }
  /// Sizes of all files, and what has been read of them.
  std::int64_t stored_bytes() const { return stored_bytes_; }
  std::int64_t stored_read() const;
  /// Of what came so far.
  std::int64_t documents() const { return documents_; }
  std::int64_t empty_documents() const { return empty_; }
  std::int64_t text_bytes() const { return text_bytes_; }
  /// Name, size and hash of each file that was read to its end.
  const Json& sources() const { return sources_; }

 private:
  void add_path(const std::string& path);
  bool open_next();
  void close();
  bool fill(std::size_t wanted);
  bool next_of_file(TextPiece& piece);
  bool next_line(std::string& line);
  bool next_of_lines(TextPiece& piece);
  std::string text_of(const std::string& line) const;
  bool is_json() const;

  TextInput input_;
  std::vector<std::string> files_;
  std::size_t file_ = 0;
  std::unique_ptr<InputFile> open_;
  std::string buffer_;
  std::size_t used_ = 0;
  bool at_end_ = false, came_ = false;  // the file is read; something of it came out
  std::int64_t line_ = 0;
  std::int64_t stored_bytes_ = 0, stored_done_ = 0, documents_ = 0, empty_ = 0, text_bytes_ = 0;
  Json sources_ = Json::array();
};

/// The last place in `text` at which no character is cut.
std::size_t character_cut(std::string_view text);

}  // namespace trireme
