#include "datasets/tokenize.hpp"

#include <cmath>
#include <limits>
#include <optional>

#include "core/base/checked.hpp"
#include "core/base/now.hpp"
#include "core/base/random.hpp"
#include "datasets/ordered_work.hpp"
#include "datasets/permutation.hpp"
#include "datasets/progress.hpp"
#include "datasets/tokenizer.hpp"
#include "datasets/tokenizer_files.hpp"
#include "datasets/word_split.hpp"
#include "datasets/writer.hpp"

namespace trireme {
namespace {

constexpr std::size_t text_bytes = std::size_t{1} << 20;
constexpr std::int64_t most_u16 = 65536;

enum class Side : std::uint8_t { train, validation };

/// Which texts are for validation.
class Division {
 public:
  Division() = default;
  Division(const TokenizeOptions& options, const TextReader& scanned) : held_out_(options.held_out) {
    const bool tail = held_out_ == HeldOut::tail;
    const std::int64_t all = tail ? scanned.text_bytes() : scanned.documents();
    const auto held = static_cast<std::int64_t>(std::floor(static_cast<double>(all) * options.validation));
    if (held == 0 || held == all) {
      fail(ExitCode::usage, "a validation part of {} of {} {} leaves one part empty{}", options.validation, all,
           tail ? "bytes" : "documents", tail ? "" : "; --held-out tail divides inside documents");
    }
    border_ = tail ? all - held : held;
    if (!tail) order_.emplace(all, random_key("validation", options.seed), 0);
  }

  bool divides() const { return border_ >= 0; }

  /// Leaves of a piece what is on this side; false where that is nothing.
  bool take(Side side, TextPiece& piece) const {
    if (!divides()) return true;
    if (held_out_ == HeldOut::documents) return ((*order_)(piece.document) < border_) == (side == Side::validation);
    const std::int64_t size = std::ssize(piece.text);
    const std::int64_t at = std::clamp<std::int64_t>(border_ - piece.begin, 0, size);
    const std::size_t cut = at == size ? piece.text.size() : at == 0 ? 0 : character_before(piece.text, to_size(at));
    if (side == Side::validation) {
      piece.text.erase(0, cut);
    } else {
      piece.text.resize(cut);
      piece.ends = piece.ends || at < size || piece.begin + size == border_;
    }
    return !piece.text.empty() || (side == Side::train && at > 0 && piece.ends);
  }

 private:
  /// The border, or where the character begins that lies across it.
  static std::size_t character_before(const std::string& text, std::size_t at) {
    const std::size_t cut = character_cut(std::string_view(text).substr(0, at + 1));
    return at - cut < 4 ? cut : at;
  }

  HeldOut held_out_ = HeldOut::documents;
  std::int64_t border_ = -1;
  std::optional<Permutation> order_;
};

/// Some pieces that one thread encodes.
struct TextJob {
  struct Piece {
    std::size_t bytes;
    bool ends;
  };
  std::string text;
  std::vector<Piece> pieces;
  std::vector<std::int32_t> ids;
  std::vector<std::size_t> counts;  // ids of each piece
};

void encode(TokenEncoder& encoder, TextJob& job) {
  std::string_view rest = job.text;
  for (const auto& piece : job.pieces) {
    const std::size_t before = job.ids.size();
    encoder.encode(rest.substr(0, piece.bytes), job.ids);
    job.counts.push_back(job.ids.size() - before);
    rest.remove_prefix(piece.bytes);
  }
}

/// Writes encoded pieces as documents.
class DocumentWriter {
 public:
  DocumentWriter(DatasetWriter& writer, const TokenSetEntry& set) : writer_(writer), set_(set) {}

  void add(const TextJob& job) {
    std::span<const std::int32_t> rest = job.ids;
    for (std::size_t i = 0; i < job.pieces.size(); ++i) {
      write(rest.first(job.counts[i]));
      rest = rest.subspan(job.counts[i]);
      open_ = open_ || job.counts[i] > 0;
      if (!job.pieces[i].ends || !open_) continue;
      if (set_.end_of_text) write({&*set_.end_of_text, 1});
      writer_.end_sample();
      open_ = false;
    }
  }

 private:
  void write(std::span<const std::int32_t> ids) {
    if (set_.vocabulary > most_u16) {
      writer_.extend(ids.data(), std::ssize(ids));
      return;
    }
    narrow_.assign(ids.begin(), ids.end());
    writer_.extend(narrow_.data(), std::ssize(narrow_));
  }

  DatasetWriter& writer_;
  const TokenSetEntry& set_;
  std::vector<std::uint16_t> narrow_;
  bool open_ = false;
};

std::optional<std::int32_t> end_token(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  if (options.end_of_text == "none") return std::nullopt;
  if (options.end_of_text == "auto") return tokenizer.end_of_text();
  if (const auto id = tokenizer.special(options.end_of_text)) return id;
  fail(ExitCode::usage, "the tokenizer {} has no special token '{}'", options.tokenizer, options.end_of_text);
}

class Tokenization {
 public:
  explicit Tokenization(const TokenizeOptions& options)
      : options_(options), tokenizer_(Tokenizer::load(options.tokenizer)), input_(options.input) {
    if (!(options.validation >= 0 && options.validation < 1))
      fail(ExitCode::usage, "a validation part of {} is not in [0, 1)", options.validation);
    if (options.threads < 1) fail(ExitCode::usage, "{} threads: wanted at least 1", options.threads);
    const TokenizerModel& model = tokenizer_.model();
    const bool characters = model.kind == TokenizerModel::Kind::characters;
    input_.cut = [characters, pattern = model.pattern](std::string_view text) {
      return characters ? character_cut(text) : safe_cut(text, pattern);
    };
    set_ = {.vocabulary = tokenizer_.vocabulary(),
            .end_of_text = end_token(options, tokenizer_),
            .tokenizer = tokenizer_file_name,
            .tokenizer_hash = tokenizer_.hash().hex()};
  }

  DatasetIndex run() {
    if (options_.validation > 0) scan();
    const DType dtype = set_.vocabulary > most_u16 ? DType::i32 : DType::u16;
    DatasetWriter writer({.folder = options_.out,
                          .name = options_.name,
                          .fields = {{TokenSetEntry::field, dtype, Shape{}, FieldSpec::Layout::ragged}},
                          .shard_bytes = options_.shard_bytes,
                          .tokens = set_,
                          .existing = options_.existing});
    write_split("train", Side::train, writer);
    if (division_.divides()) write_split("validation", Side::validation, writer);
    writer.add_file(set_.tokenizer, tokenizer_.to_text());
    return writer.finish({{"importer", "text"},
                          {"date", utc_now()},
                          {"documents", documents_},
                          {"empty_documents", empty_},
                          {"text_bytes", text_bytes_},
                          {"sources", sources_}});
  }

 private:
  void scan() {
    TextReader reader(input_);
    Progress progress("looking through the text", reader.stored_bytes(), "bytes");
    std::int64_t shown = 0;
    for (TextPiece piece; reader.next(piece);) show(reader, progress, shown);
    check_text(reader);
    division_ = Division(options_, reader);
  }

  static void show(const TextReader& reader, Progress& progress, std::int64_t& shown) {
    progress.advance(reader.stored_read() - shown);
    shown = reader.stored_read();
  }

  static void check_text(const TextReader& reader) {
    if (reader.text_bytes() == 0)
      fail(ExitCode::corrupt_input, "there is no text in the files: all of their {} documents are empty",
           reader.empty_documents());
  }

  void write_split(const std::string& name, Side side, DatasetWriter& writer) {
    writer.begin_split(name);
    DocumentWriter documents(writer, set_);
    std::vector<OrderedWork<TextJob>::Work> works;
    for (std::int64_t i = 0; i < options_.threads; ++i) {
      auto encoder = std::make_shared<TokenEncoder>(tokenizer_);
      works.emplace_back([encoder](TextJob& job) { encode(*encoder, job); });
    }
    OrderedWork<TextJob> work(std::move(works), [&](TextJob& job) { documents.add(job); });
    TextReader reader(input_);
    Progress progress("tokenizing " + name, reader.stored_bytes(), "bytes");
    std::int64_t shown = 0;
    TextJob job;
    for (TextPiece piece; reader.next(piece); show(reader, progress, shown)) {
      if (!division_.take(side, piece)) continue;
      job.text += piece.text;
      job.pieces.push_back({piece.text.size(), piece.ends});
      if (job.text.size() >= text_bytes) work.give(std::exchange(job, {}));
    }
    check_text(reader);
    work.give(std::move(job));
    work.finish();
    documents_ = reader.documents();
    empty_ = reader.empty_documents();
    text_bytes_ = reader.text_bytes();
    sources_ = reader.sources();
  }

  const TokenizeOptions& options_;
  Tokenizer tokenizer_;
  TextInput input_;
  TokenSetEntry set_;
  Division division_;
  std::int64_t documents_ = 0, empty_ = 0, text_bytes_ = 0;
  Json sources_;
};

}  // namespace

DatasetIndex tokenize(const TokenizeOptions& options) { return Tokenization(options).run(); }

}  // namespace trireme
