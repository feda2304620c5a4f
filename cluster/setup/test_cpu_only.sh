#!/usr/bin/env bash
# test_cpu_only.sh: configures without CUDA even where nvcc is found, builds, and trains one step on drawn shapes.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cluster/setup/packages.sh build
timed "building into build/cpu-only" build cpu-only trireme image_classification
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
build/cpu-only/launcher/trireme data generate shapes --out "$work/shapes" --count 512 --test-count 128
build/cpu-only/launcher/trireme launch -n 2 --log-dir "$work/logs" -- \
  "$root/build/cpu-only/examples/image_classification" --data "$work/shapes" --max-steps 1 --run-dir "$work/run"
say "one step without CUDA: done"
