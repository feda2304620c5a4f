#!/usr/bin/env bash
# bench_gpu.sh [OPTION...]: builds gpu_bench and runs tests/bench/gpu.py (see its --help), which prints one table, or
# `skipped: no GPU`. `make bench-gpu` calls it. TRIREME_PEER_PYTHON names a Python with torch for the comparison.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "skipped: no GPU"
  exit 0
fi
cluster/setup/packages.sh build
timed "building into build/release" build release gpu_bench
exec python3 tests/bench/gpu.py --build build/release "$@"
