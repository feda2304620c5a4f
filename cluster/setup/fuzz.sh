#!/usr/bin/env bash
# fuzz.sh [TARGET...]: builds the fuzz targets (tests/fuzz, clang) and runs each FUZZ_RUNS (100000) times from FUZZ_SEED
# (1), JOBS targets at a time; three slow ones, lines_import, tables_import and tokenizer, a quarter as often. What is found is kept in build/fuzz/findings, and the line that runs it again is printed;
# the status is then 1. Inputs that reached new code stay in build/fuzz/corpus and are where the next call goes on.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
runs="${FUZZ_RUNS:-100000}"
seed="${FUZZ_SEED:-1}"
programs=build/fuzz/tests/fuzz
findings=build/fuzz/findings

# The quarantine of freed memory is smaller than usual so that the limit is one on what a reader takes.
export ASAN_OPTIONS="quarantine_size_mb=32:${ASAN_OPTIONS:-}" UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
limits=(-max_len=4096 -timeout=5 -report_slow_units=1 -malloc_limit_mb=128 -rss_limit_mb=768)

# one NAME: the last line it prints is the result.
one() {
  local name="$1" log="build/fuzz/log/$1.txt" corpus="build/fuzz/corpus/$1" status=0 artifact
  [[ ! "$name" =~ ^(lines_import|tables_import|tokenizer)$ ]] || runs=$((runs / 4))
  mkdir -p build/fuzz/log "$corpus" "$findings"
  "$programs/${name}_fuzz" -runs="$runs" -seed="$seed" "${limits[@]}" -artifact_prefix="$findings/$name-" \
    -print_final_stats=1 "$corpus" </dev/null >"$log" 2>&1 || status=$?
  say "$name: $(awk '/^stat::number_of_executed_units/ { runs = $2 } /^stat::average_exec_per_sec/ { rate = $2 }
    /^stat::peak_rss_mb/ { peak = $2 } / cov: / { for (i = 1; i < NF; ++i) if ($i == "cov:") edges = $(i + 1) }
    END { printf "%d runs, %d a second, %d edges reached, at most %d MiB", runs, rate, edges, peak }' "$log")"
  if [[ $status -ne 0 ]]; then
    grep -v -e '^#[0-9]' -e '^INFO' -e 'NEW_FUNC' "$log" | tail -n 60 >&2
    artifact="$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
    warn "$name: FAILED with status $status; log: $log"
    warn "again: ${artifact:+$programs/${name}_fuzz ${limits[*]} $artifact}"
    return 1
  fi
}

if [[ "${1:-}" == --one ]]; then
  one "$2"
  exit
fi

cluster/setup/packages.sh fuzz
timed "building into build/fuzz" build fuzz
names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
  for program in "$programs"/*_fuzz; do
    name="$(basename "$program")"
    names+=("${name%_fuzz}")
  done
fi
# The files that the targets write lie in memory where there is a place for them.
TMPDIR="$(mktemp -d -p /dev/shm trireme-fuzz-XXXXXX 2>/dev/null || mktemp -d)"
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
say "fuzzing: ${names[*]}: $runs runs each, seed $seed, $JOBS at a time"
status=0
# The long ones first: so none of them is left to run alone.
printf '%s\n' "${names[@]}" | sort -r | xargs -P "$JOBS" -I '{}' "$root/cluster/setup/fuzz.sh" --one '{}' || status=1
[[ $status -eq 0 ]] && say "fuzzing: no findings"
exit "$status"
