#!/usr/bin/env bash
# soak.sh: repeats all tests for SOAK_MINUTES (30) or until one fails: what goes wrong once in a hundred times.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
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
