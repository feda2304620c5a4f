#!/usr/bin/env bash
# run.sh [BUILD]: runs the GPU tests of an existing build (build/release) on a machine with a GPU, then some of them
# again under compute-sanitizer where the device allows it, and those of the communicators on several ranks (ranks.sh).
# Prints one table; everything the programs said goes into one log, gpu.log in $OUT or build/gpu. Needs bash, the
# programs, and the libraries they name: no compiler, no registry.
# Status 0: all passed, or there is no GPU; 1: a test failed or could not run; 2: no such build.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
case "${1:-}" in -h | --help) sed -n '2,6s/^# //p' "$0" && exit 0 ;; esac
build="${1:-$root/build/release}"
if ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "skipped: no GPU"
  exit 0
fi
mapfile -t programs < <(find "$build" -maxdepth 2 -type f -name 'tests_*' -perm -u+x 2>/dev/null | sort)
if [[ ${#programs[@]} -eq 0 ]]; then
  echo "run.sh: there is no tests_* program in $build; build the preset 'release' first, or name the folder" >&2
  exit 2
fi

gpu_tests='*/cuda:*/cuda_*:Cuda*.*'
# What asks for more memory than there is, or counts addresses of the pool, means nothing under compute-sanitizer.
sanitized_tests="$gpu_tests:-*OutOfMemory*:*ThePool*:*FailedCall*:*FirstFailure*"
limit=240
folder="${OUT:-$root/build/gpu}"
mkdir -p "$folder"
log="$folder/gpu.log"
table=()
status=0

row() { table+=("$(printf '%-34s %7s %7s %8s %6s  %s' "$@")"); }
count() { grep -cE "^\[ +$1 +\] .*ms\)" "$2"; }

# measure NAME REFUSAL COMMAND...: one row of the table; output matching REFUSAL means that the device will not do this.
measure() {
  local name="$1" refusal="$2" started="$SECONDS" code=0 verdict=passed passed failed skipped
  shift 2
  echo "=== $name: $*" >>"$log"
  timeout "$limit" "$@" >"$folder/output" 2>&1 || code=$?
  cat "$folder/output" >>"$log"
  passed="$(count OK "$folder/output")" failed="$(count FAILED "$folder/output")"
  skipped="$(count SKIPPED "$folder/output")"
  if [[ -n "$refusal" ]] && grep -qE "$refusal" "$folder/output"; then
    verdict="skipped: device refuses"
  elif [[ $code -eq 124 ]]; then
    verdict="FAILED: not done after $limit s"
  elif [[ $code -ne 0 ]]; then
    verdict="FAILED: status $code, $(grep -m1 -E '[Ee]rror|FAILED|ERROR SUMMARY' "$folder/output" | cut -c1-90)"
  elif grep -q 'skipped: no GPU' "$folder/output"; then
    verdict="FAILED: $(grep -m1 -o 'no GPU.*' "$folder/output"), though the machine has one"
  fi
  [[ "$verdict" == FAILED* ]] && status=1
  row "$name" "$passed" "$failed" "$skipped" "$((SECONDS - started))" "$verdict"
}

{ date -u +%FT%TZ && uname -a && nvidia-smi; } >"$log" 2>&1
row program passed failed skipped "s" result
for program in "${programs[@]}"; do
  name="$(basename "$program")"
  listed="$("$program" --gtest_filter="$gpu_tests" --gtest_list_tests 2>&1)" || {
    echo "$listed" >>"$log"
    row "$name" - - - - "FAILED to start: $(tail -n 1 <<<"$listed" | cut -c1-100)"
    status=1
    continue
  }
  [[ "$listed" == *"  "* ]] || continue
  measure "$name" "" "$program" --gtest_filter="$gpu_tests"
  for tool in memcheck racecheck synccheck initcheck; do
    [[ "$name" == tests_core ]] || continue
    if ! command -v compute-sanitizer >/dev/null; then
      row "$name $tool" - - - - "skipped: no compute-sanitizer"
      continue
    fi
    measure "$name $tool" 'Device not supported|not supported on this device|Unable to (attach|initialize)' \
      compute-sanitizer --tool "$tool" --error-exitcode 9 "$program" --gtest_filter="$sanitized_tests"
  done
done
lines="$(OUT="$folder" "$root/tests/gpu/ranks.sh" "$build")" || status=1
while IFS='|' read -r name seconds result; do row "$name" - - - "$seconds" "$result"; done <<<"$lines"
[[ ! -f "$folder/ranks.log" ]] || cat "$folder/ranks.log" >>"$log"
rm -f "$folder/output"
if [[ ${#table[@]} -eq 1 ]]; then
  row "(none)" - - - - "FAILED: no program in $build has GPU tests"
  status=1
fi
printf '%s\n' "${table[@]}" | tee -a "$log"
echo "log: $log"
exit "$status"
