#!/usr/bin/env bash
# bench.sh [NAME...]: builds and runs the benchmarks of tests/bench (all, or those named, without the ending _bench).
# Figures compare only within one run: the machine's state is part of them.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cluster/setup/packages.sh build
timed "building into build/release" build release
programs=()
if [[ $# -gt 0 ]]; then
  for name in "$@"; do programs+=("build/release/tests/bench/${name}_bench"); done
else
  mapfile -t programs < <(find build/release/tests/bench -maxdepth 1 -name '*_bench' -type f -executable | sort)
fi
if [[ ${#programs[@]} -eq 0 ]]; then
  warn "no benchmark was built: is libbenchmark-dev installed?"
  exit 2
fi
for program in "${programs[@]}"; do
  timed "$(basename "$program")" "$program"
done
