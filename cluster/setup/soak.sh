#!/usr/bin/env bash
# soak.sh [faults|fuzz]: repeats all tests for SOAK_MINUTES (30) or until one fails: what goes wrong once in a hundred times.
# With the word faults: the tests of kills, power cuts, damaged checkpoints and hostile jobs once, with the numbers of a long run
# (KILLS=1000 takes about an hour). `soak.sh fuzz` runs the fuzz targets, SOAK_FUZZ_RUNS (10000000) times each from
# another seed every time: hours.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if [[ "${1:-}" == fuzz ]]; then
  FUZZ_RUNS="${SOAK_FUZZ_RUNS:-10000000}" FUZZ_SEED="${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}" exec cluster/setup/fuzz.sh
fi
cluster/setup/packages.sh test
timed "building into build/release" build release
if [[ "${1:-}" == faults ]]; then
  export TRIREME_KILLS="${KILLS:-1000}" TRIREME_POWER_STATES="${POWER_STATES:-20000}"
  export TRIREME_MUTATIONS="${MUTATIONS:-100000}" TRIREME_HOSTILE_CASES="${HOSTILE_CASES:-50000}"
  say "$TRIREME_MUTATIONS mutations, $TRIREME_POWER_STATES power cuts, $TRIREME_HOSTILE_CASES hostile jobs"
  export TRIREME_JOB_KILLS="${JOB_KILLS:-300}"
  build/release/tests/tests_launcher --gtest_filter='Damaged.*:*CheckpointCrash.*:*CheckpointPower*:Preview.*:Ranks.*:Planted.*'
  say "${WATCH_RUNS:-20} healthy runs under the watchdog"
  TRIREME_WATCH_RUNS="${WATCH_RUNS:-20}" build/release/tests/tests_launcher --gtest_filter='WatchedJob.healthy*'
  say "$TRIREME_JOB_KILLS kills of the processes of jobs on a virtual cluster"
  build/release/tests/tests_launcher --gtest_filter='KilledJob.*'
  say "${PREEMPTIONS:-50} preemptions by Slurm in a row"
  TRIREME_PREEMPTIONS="${PREEMPTIONS:-50}" build/release/tests/tests_launcher --gtest_filter='SlurmJob.is_preempted*'
  say "$TRIREME_KILLS kills"
  exec build/release/tests/tests_law --gtest_filter='*Killed.OfARandom*'
fi
end=$((SECONDS + 60 * ${SOAK_MINUTES:-30}))
round=0
while [[ $SECONDS -lt $end ]]; do
  round=$((round + 1))
  say "round $round, $(((end - SECONDS) / 60)) minutes left"
  ctest --test-dir build/release --output-on-failure --no-tests=error --schedule-random --stop-on-failure
done
say "$round rounds without a failure"
