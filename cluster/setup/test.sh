#!/usr/bin/env bash
# test.sh [ARGUMENTS OF CTEST]: builds everything in build/release and runs the tests; the last lines are ctest's summary.
# One test at a time (TEST_JOBS=1): those that start several ranks take all cores.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cluster/setup/packages.sh test
timed "building into build/release" build release
say "testing"
exec ctest --test-dir build/release --output-on-failure --no-tests=error --parallel "${TEST_JOBS:-1}" "$@"
