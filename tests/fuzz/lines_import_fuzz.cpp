// The import of lines of text. The input is a byte that says how it is taken in, a byte for the length that is kept,
// and a table of lines, or two files of a folder with a byte of one between them. What was imported must pass `trireme
// data verify` and hold each line that can be used once; what was refused must leave nothing behind.
#include "datasets/import_lines.hpp"

#include <cstring>

#include "datasets/verify.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
enum How : std::uint64_t { folder_of_classes = 1, skip = 2, part = 4, test_too = 8, cut = 16, deflate = 32 };

/// What the source says of its lines, read in the plainest way; nothing where it is packed.
std::int64_t usable_lines(std::string_view text, bool labelled) {
  std::int64_t count = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t tab = line.rfind('\t');
    const bool has_class = labelled || (tab != std::string_view::npos && tab > 0 && tab + 1 < line.size());
    if (!line.empty() && has_class && line.find('\0') == std::string_view::npos) ++count;
  }
  return count;
}

bool packed(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

std::int32_t length_of(const Split& split, std::int64_t row) {
  std::int32_t length = 0;
  split.copy_row(split.field_index("length"), row, reinterpret_cast<std::byte*>(&length));
  return length;
}

void check_texts(const Split& split) {
  const int field = split.field_index("text");
  std::string text(split.fields()[static_cast<std::size_t>(field)].row_bytes(), '\0');
  for (std::int64_t row = 0; row < split.count(); ++row) {
    split.copy_row(field, row, reinterpret_cast<std::byte*>(text.data()));
    const std::int32_t length = length_of(split, row);
    fuzz::demand(length > 0 && length <= std::ssize(text), "a text is as long as its sample at most, and not empty");
    const std::size_t zero = std::min(text.find('\0'), text.size());
    fuzz::demand(zero == static_cast<std::size_t>(length), "zeros stand behind a text and nowhere else");
    fuzz::demand(text.find_first_not_of('\0', zero) == std::string::npos, "behind a text there are zeros alone");
  }
}

void check_taken(const std::string& out, std::int64_t lines, std::uint64_t how) {
  const Dataset dataset = Dataset::open(out);
  const VerifyReport report = verify_dataset(dataset);
  fuzz::demand(report.problems.empty(), report.problems.empty() ? "" : report.problems.front().what);
  fuzz::demand(dataset.class_names().size() >= 2, "a data set has classes");
  for (const SplitEntry& split : dataset.index().splits) check_texts(*dataset.split(split.name));
  const std::int64_t times = (how & part) == 0 && (how & test_too) != 0 ? 2 : 1;
  fuzz::demand(lines < 0 || report.samples == times * lines, "each line that can be used is a sample, once");
}

std::string seed(std::uint64_t how, std::string_view rest) {
  return std::string{static_cast<char>(how), '\4'}.append(rest);
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const std::string_view table = "good\tday\tpos\r\n\nbad\tneg\nI\xc3\xb1\x61ki\tpos\nfin\xe2\x82\xac\xe2\x82\xac\tneg";
  const std::string_view classes = "Nikos\nEleni\r\n\x01\nAne\nI\xc3\xb1\x61ki";
  return {seed(0, table),
          seed(part | deflate, "a\tx\nb\ty\nc\tx\nd\ty\ne\tx\nf\ty\n"),
          seed(test_too | cut, table),
          seed(skip, std::string("one\tx\nno class\n\tx\nempty\t\na\0b\tx\ntwo\ty\n", 37)),
          seed(folder_of_classes, classes),
          seed(folder_of_classes | part | skip, classes),
          seed(folder_of_classes | test_too | cut | deflate, classes)};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const std::uint64_t how = input.number(1), length = input.number(1);
  const std::string_view rest = input.rest();
  const fs::path folder = fuzz::work_folder();
  std::int64_t lines = packed(rest) ? -1 : usable_lines(rest, false);
  LinesImport job{.source = folder / "table.tsv", .out = folder / "out"};
  if ((how & folder_of_classes) != 0) {
    const std::size_t between = std::min(rest.find('\1'), rest.size());
    const std::string_view first = rest.substr(0, between), second = rest.substr(std::min(between + 1, rest.size()));
    fs::create_directories(folder / "in");
    fuzz::write_file(folder / "in" / "a.txt", first);
    fuzz::write_file(folder / "in" / "b.txt", second);
    lines = packed(first) || packed(second) ? -1 : usable_lines(first, true) + usable_lines(second, true);
    job.source = folder / "in";
  } else {
    fuzz::write_file(job.source, rest);
  }
  if ((how & part) != 0) job.set_aside.fraction = 0.5;
  if ((how & test_too) != 0) job.test_source = job.source;
  if ((how & cut) != 0) job.length = static_cast<std::int64_t>(length);
  if ((how & skip) != 0) job.on_error = OnError::skip;
  job.compress = (how & deflate) != 0 ? 1 : 0;
  if (fuzz::takes([&] { import_lines(job); })) check_taken(job.out, lines, how);
  fs::remove_all(job.out);
  fuzz::demand(!fs::exists(folder / ".out.partial"), "no half data set stays behind");
  return 0;
}
