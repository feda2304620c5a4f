// The imports of NumPy arrays and of CSV. The input is a byte that says what the rest is and how it is taken in. What
// was imported must pass `trireme data verify`; what was refused must leave nothing behind.
#include "datasets/import_csv.hpp"
#include "datasets/import_npy.hpp"
#include "datasets/verify.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace trireme {
namespace {

namespace fs = std::filesystem;
enum How : std::uint64_t {
  csv = 1,
  skip = 2,
  as_label = 4,
  regression = 8,
  without_header = 16,
  deflate = 32,
  part = 64
};

void check_taken(const std::string& out) {
  const VerifyReport report = verify_dataset(Dataset::open(out));
  fuzz::demand(report.problems.empty(), report.problems.empty() ? "" : report.problems.front().what);
  fuzz::demand(report.samples > 0, "a data set has samples");
}

std::string npy(std::string_view header, std::string_view elements) {
  std::string out = "\x93NUMPY";
  out += {'\1', '\0', static_cast<char>(header.size()), '\0'};
  return out.append(header).append(elements);
}

bool take_csv(const fs::path& folder, std::uint64_t how) {
  CsvImport job{.source = folder / "file", .out = folder / "out", .targets = {"a"}};
  job.set_aside.fraction = (how & part) != 0 ? 0.5 : 0;
  if ((how & without_header) != 0) job.header = CsvImport::Header::none, job.targets = {"1"};
  if ((how & regression) != 0) job.task = CsvImport::Task::regression, job.scale = CsvImport::Scale::standardise;
  job.on_error = (how & skip) != 0 ? OnError::skip : OnError::stop;
  job.compress = (how & deflate) != 0 ? 1 : 0;
  return fuzz::takes([&] { import_csv(job); });
}

bool take_npy(const fs::path& folder, std::uint64_t how) {
  NpyImport job{.sources = {{(how & as_label) != 0 ? "label" : "image", folder / "file"}}, .out = folder / "out"};
  job.set_aside.fraction = (how & part) != 0 ? 0.5 : 0;
  job.on_error = (how & skip) != 0 ? OnError::skip : OnError::stop;
  job.compress = (how & deflate) != 0 ? 1 : 0;
  return fuzz::takes([&] { import_npy(job); });
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const auto seed = [](std::uint64_t how, std::string_view rest) {
    return std::string{static_cast<char>(how)}.append(rest);
  };
  const std::string_view table = "a,b,\"c \"\"d\"\"\"\r\n1,2.5,-3e2\n2,\"4\",5\r\n\n1,+6,7\n";
  return {seed(csv, table),
          seed(csv | regression, table),
          seed(csv | skip | deflate, "a,b\nx,1\ny,2\n,3\nx,nan\nz,\"4\n5\"\nx\n"),
          seed(csv | regression | without_header | part, "1,2\n3,4\n5,6\n7,8\n9,10\n"),
          seed(as_label, npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }\n", "\1\2\1\3")),
          seed(skip, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n", "abcd\xff\xff\xff\xff")),
          seed(deflate, npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2, 2, 2), }\n", "abcdefghijklmnop")),
          seed(part, npy("{'descr': '<u8', 'fortran_order': True, 'shape': (2, 1, 1), }\n", "abcdefg\0ijklmno\0"))};
}

}  // namespace trireme

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trireme;
  fuzz::Input input(data, size);
  const std::uint64_t how = input.number(1);
  const fs::path folder = fuzz::work_folder();
  fuzz::write_file(folder / "file", input.rest());
  if ((how & csv) != 0 ? take_csv(folder, how) : take_npy(folder, how)) check_taken(folder / "out");
  fs::remove_all(folder / "out");
  fuzz::demand(!fs::exists(folder / ".out.partial"), "no half data set stays behind");
  return 0;
}
