#!/usr/bin/env bash
# bench.sh [SECTION...]: builds what tests/bench needs and runs tests/bench/run.py, which prints one table and keeps it
# (all sections: see `python3 tests/bench/run.py --help`). `make bench` calls it. TRIREME_PEER_PYTHON names a Python with
# torch, numpy and h5py for the comparison; without one the peer's columns say `skipped`.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=image_data.sh
. "$(dirname "$0")/image_data.sh"
cluster/setup/packages.sh build
timed "building into build/release" build release trireme image_classification machine_bench all_reduce_bench \
  loader_bench checkpoint_bench language_bench gpt_bench model_bench image_bench tokenizer_bench
if ! command -v python3 >/dev/null; then
  warn "the driver of the benchmarks is in Python: apt-get install python3"
  exit 2
fi
prepare_images
exec python3 tests/bench/run.py --build build/release --data "$data" "$@"
