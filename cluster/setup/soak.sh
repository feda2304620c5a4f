#!/usr/bin/env bash
# soak.sh [fuzz]: repeats all tests for SOAK_MINUTES (30) or until one fails: what goes wrong once in a hundred times.
# `soak.sh fuzz` runs the fuzz targets instead, SOAK_FUZZ_RUNS (10000000) times each from another seed every time: hours.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if [[ "${1:-}" == fuzz ]]; then
  FUZZ_RUNS="${SOAK_FUZZ_RUNS:-10000000}" FUZZ_SEED="${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}" exec cluster/setup/fuzz.sh
fi
cluster/setup/packages.sh test
timed "building into build/release" build release
end=$((SECONDS + 60 * ${SOAK_MINUTES:-30}))
round=0
while [[ $SECONDS -lt $end ]]; do
  round=$((round + 1))
  say "round $round, $(((end - SECONDS) / 60)) minutes left"
  ctest --test-dir build/release --output-on-failure --no-tests=error --schedule-random --stop-on-failure
done
say "$round rounds without a failure"
