#!/usr/bin/env bash
# run.sh [BUILD] [STAGE...]: what only a machine with a GPU can show of an existing build (build/release). Stages: tests
# (the GPU tests, and again under compute-sanitizer where the device allows it), ranks (the communicators' on several
# ranks, ranks.sh), training (training.sh), bench (gpu.py).
# Prints one table; everything the programs said goes into one log, gpu.log in $OUT or build/gpu. Needs bash, the
# programs, and the libraries they name, the benchmarks Python: no compiler, no registry.
# Status 0: all passed, or there is no GPU; 1: something failed or could not run; 2: no such build.
# shellcheck disable=SC2317  # stages are called by their names
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
case "${1:-}" in -h | --help) sed -n '2,7s/^# //p' "$0" && exit 0 ;; esac
build="${1:-$root/build/release}"
stages=("${@:2}")
[[ ${#stages[@]} -gt 0 ]] || stages=(tests ranks training bench)
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

stage_tests() {
  local program name listed tool
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
  if [[ ${#table[@]} -eq 1 ]]; then
    row "(none)" - - - - "FAILED: no program in $build has GPU tests"
    status=1
  fi
}

# script NAME: tests/gpu/NAME.sh, which prints a line NAME|SECONDS|RESULT for each row and writes NAME.log.
script() {
  local name seconds result lines
  lines="$(OUT="$folder" "$root/tests/gpu/$1.sh" "$build")" || status=1
  while IFS='|' read -r name seconds result; do row "$name" - - - "$seconds" "$result"; done <<<"$lines"
  [[ ! -f "$folder/$1.log" ]] || cat "$folder/$1.log" >>"$log"
}
stage_ranks() { script ranks; }
stage_training() { script training; }

stage_bench() {
  local started="$SECONDS" code=0
  if ! command -v python3 >/dev/null || [[ ! -x "$build/tests/bench/gpu_bench" ]]; then
    row benchmarks - - - - "skipped: no python3 or no gpu_bench in this build"
    return
  fi
  OUT="$folder" timeout 330 python3 "$root/tests/bench/gpu.py" --build "$build" >"$folder/output" 2>&1 || code=$?
  cat "$folder/output" >>"$log"
  if [[ $code -eq 0 ]]; then
    row benchmarks - - - "$((SECONDS - started))" "see gpu_bench.md"
  else
    row benchmarks - - - "$((SECONDS - started))" "FAILED: status $code, $(grep -m1 -E 'FAILED|rror' "$folder/output" | cut -c1-90)"
    status=1
  fi
}

{ date -u +%FT%TZ && uname -a && nvidia-smi; } >"$log" 2>&1
row program passed failed skipped "s" result
for stage in "${stages[@]}"; do
  case "$stage" in
    tests | ranks | training | bench) "stage_$stage" ;;
    *) echo "run.sh: there is no stage $stage; there are tests, ranks, training and bench" >&2 && exit 2 ;;
  esac
done
rm -f "$folder/output"
printf '%s\n' "${table[@]}" | tee -a "$log"
echo "log: $log"
exit "$status"
