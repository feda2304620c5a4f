#!/usr/bin/env bash
# demo.sh [ARGUMENTS OF THE EXAMPLE]: from a clean clone to RANKS (2) ranks that train a convolutional network on
# Fashion-MNIST, or on drawn shapes where the images cannot be had. `make demo` calls it; done steps are skipped.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=image_data.sh
. "$(dirname "$0")/image_data.sh"
RANKS="${RANKS:-2}"
trireme=build/release/launcher/trireme
example=build/release/examples/image_classification
cluster/setup/packages.sh build
timed "building into build/release" build release trireme image_classification

prepare_images

command=("$trireme" launch -n "$RANKS" -- "$example" --data "$data" "$@")
say "training on $RANKS ranks: ${command[*]}"
"${command[@]}"

cat <<END

What to type next
  one rank, the same batches:  $trireme launch -n 1 -- $example --data $data
  another network:             make demo ARGS="--model mlp"
  all options:                 $example --help
  what the shards hold:        $trireme data info $data
  the tests:                   make test
END
