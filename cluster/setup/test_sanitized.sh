#!/usr/bin/env bash
# test_sanitized.sh asan|tsan: builds with AddressSanitizer and UndefinedBehaviorSanitizer and runs tests_asan_*
# (readers, data, ops, tape), or with ThreadSanitizer and runs tests_tsan (kernels, loader, communication thread, without MPI and OpenMP).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
kind="${1:-}"
case "$kind" in
  asan)
    cluster/setup/packages.sh test
    # A test asks for an exabyte on purpose and wants the null that malloc gives.
    export ASAN_OPTIONS="allocator_may_return_null=1:${ASAN_OPTIONS:-}"
    export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
    if [[ -f tests/support/lsan.supp ]]; then
      export LSAN_OPTIONS="suppressions=$root/tests/support/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}"
    fi
    timed "building into build/asan" build asan tests_asan_core tests_asan_datasets
    # In as many parts at a time as there are cores, with a thread each.
    export OMP_NUM_THREADS=1 GTEST_TOTAL_SHARDS="$JOBS"
    status=0
    for folder in core datasets; do
      seq 0 "$((JOBS - 1))" | xargs -P "$JOBS" -I '{}' env GTEST_SHARD_INDEX='{}' \
        "build/asan/tests/tests_asan_$folder" --gtest_brief=1 || status=1
    done
    exit "$status"
    ;;
  tsan)
    cluster/setup/packages.sh test
    timed "building into build/tsan" build tsan tests_tsan
    export TSAN_OPTIONS="halt_on_error=1:${TSAN_OPTIONS:-}" GTEST_TOTAL_SHARDS="$JOBS"
    seq 0 "$((JOBS - 1))" | xargs -P "$JOBS" -I '{}' env GTEST_SHARD_INDEX='{}' build/tsan/tests/tests_tsan --gtest_brief=1
    ;;
  *)
    echo "usage: test_sanitized.sh asan|tsan" >&2
    exit 2
    ;;
esac
