#!/usr/bin/env bash
# ranks.sh [BUILD]: the GPU tests of the communicators (tests_ranks) under mpirun on 2, 3 and 4 ranks, from an existing
# build (build/release). One line for each, NAME|SECONDS|RESULT, for run.sh; what the programs say goes to ranks.log in
# $OUT or build/gpu. Status 1: one failed.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
case "${1:-}" in -h | --help) sed -n '2,4s/^# //p' "$0" && exit 0 ;; esac
build="${1:-$root/build/release}"
program="$build/tests/tests_ranks"
folder="${OUT:-$root/build/gpu}"
mkdir -p "$folder"
log="$folder/ranks.log"
: >"$log"
limit=240
status=0

if [[ ! -x "$program" ]] || ! command -v mpirun >/dev/null; then
  echo "tests_ranks under mpirun|0|skipped: no $program or no mpirun"
  exit 0
fi
gpus="$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')"
if [[ "$gpus" -eq 0 ]]; then
  echo "tests_ranks under mpirun|0|skipped: no GPU"
  exit 0
fi

# NCCL refuses two ranks on one GPU of one host. Where there are fewer GPUs than ranks each rank says that it is a host of
# its own, and they talk through the loopback device.
# shellcheck disable=SC2016  # each rank expands its own
as_hosts='export NCCL_HOSTID="host$OMPI_COMM_WORLD_RANK" NCCL_SOCKET_IFNAME=lo; exec "$@"'
for ranks in 2 3 4; do
  started="$SECONDS" code=0
  launch=(mpirun --oversubscribe --bind-to none -n "$ranks")
  [[ "$(id -u)" -eq 0 ]] && launch+=(--allow-run-as-root)
  [[ "$gpus" -lt "$ranks" ]] && launch+=(bash -c "$as_hosts" rank)
  OMP_NUM_THREADS=2 timeout "$limit" "${launch[@]}" "$program" --gtest_filter='*/cuda:*/cuda_*:Cuda*.*' \
    >"$folder/ranks.output" 2>&1 || code=$?
  cat "$folder/ranks.output" >>"$log"
  passed="$(grep -cE '^\[ +OK +\] .*ms\)' "$folder/ranks.output")"
  result="$passed passed"
  if [[ $code -eq 124 ]]; then
    result="FAILED: not done after $limit s"
  elif [[ $code -ne 0 ]]; then
    result="FAILED: status $code, $(grep -m1 -E '[Ee]rror|FAILED' "$folder/ranks.output" | cut -c1-90)"
  elif [[ "$passed" -eq 0 ]] || grep -q 'skipped: no GPU' "$folder/ranks.output"; then
    result="FAILED: no test ran, though the machine has a GPU"
  fi
  [[ "$result" == FAILED* ]] && status=1
  echo "tests_ranks on $ranks ranks|$((SECONDS - started))|$result"
done
rm -f "$folder/ranks.output"
exit "$status"
