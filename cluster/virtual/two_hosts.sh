#!/usr/bin/env bash
# two_hosts.sh [--rate 1gbit] [--] PROGRAM [ARGUMENTS]: runs PROGRAM as one MPI rank on each of two hosts of a virtual
# cluster (cluster.sh), which is started for it and removed again. --rate limits what each host sends (tc's notation).
# PROGRAM and its files must not lie in /tmp. TRIREME_* and OMP_* variables reach the ranks.
# Exit status: PROGRAM's; 77 after "skipped: REASON" where this machine cannot play hosts; 2 for a usage mistake.
set -euo pipefail

limit=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --rate) limit=(--rate "${2:?two_hosts.sh: --rate wants a value such as 1gbit}"); shift 2 ;;
    --) shift; break ;;
    -*) echo "two_hosts.sh: unknown option $1; wanted --rate RATE" >&2; exit 2 ;;
    *) break ;;
  esac
done
if [[ $# -eq 0 ]]; then
  echo "two_hosts.sh: no program was named" >&2
  exit 2
fi
if ! command -v mpirun >/dev/null; then
  echo "skipped: no mpirun (Debian: apt-get install openmpi-bin)"
  exit 77
fi

forwarded=()
while IFS='=' read -r name _; do
  [[ "$name" == TRIREME_* || "$name" == OMP_* ]] && forwarded+=(-x "$name")
done < <(env)

exec "$(dirname "$0")/cluster.sh" with 2 "${limit[@]}" -- mpirun --allow-run-as-root -n 2 --host host1:1,host2:1 \
  --map-by node --bind-to none --wdir "$PWD" "${forwarded[@]}" "$@"
