#!/usr/bin/env bash
# demo_seeds.sh [ARGUMENTS OF THE EXAMPLE]: the demo's training with three seeds; fails unless each reaches 91 % on the
# test images. `make demo-seeds` calls it after `make demo`.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
RANKS="${RANKS:-2}"
data=data/fashion-mnist
if [[ ! -d "$data" ]]; then
  echo "skipped: no $data, type 'make demo' first" >&2
  exit 2
fi
status=0
for seed in 1 2 3; do
  folder="$(mktemp -d)"
  build/release/launcher/trireme launch -n "$RANKS" --log-dir "$folder/logs" -- build/release/examples/image_classification \
    --data "$data" --seed "$seed" --run-dir "$folder/run" "$@" >"$folder/out"
  accuracy="$(sed -n 's/.*test accuracy \([0-9.]*\) %.*/\1/p' "$folder/out")"
  seconds="$(sed -n 's/.*after \([0-9.]*\) s of training.*/\1/p' "$folder/out")"
  say "seed $seed: test accuracy $accuracy %, $seconds s of training"
  if awk -v a="$accuracy" 'BEGIN { exit !(a < 91) }'; then status=1; fi
  rm -rf "$folder"
done
exit "$status"
