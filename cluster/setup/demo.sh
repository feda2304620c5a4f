#!/usr/bin/env bash
# demo.sh [ARGUMENTS OF THE EXAMPLE]: from a clean clone to RANKS (2) ranks that train a convolutional network on
# Fashion-MNIST, or on drawn shapes where the images cannot be had. `make demo` calls it; done steps are skipped.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
RANKS="${RANKS:-2}"
trireme=build/release/launcher/trireme
example=build/release/examples/image_classification
classes="T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"

import_fashion_mnist() {
  local raw="$1" out="$2"
  "$trireme" data import idx --out "$out" --name fashion-mnist --classes "$classes" \
    --images "$raw/train-images-idx3-ubyte.gz" --labels "$raw/train-labels-idx1-ubyte.gz" \
    --test-images "$raw/t10k-images-idx3-ubyte.gz" --test-labels "$raw/t10k-labels-idx1-ubyte.gz"
}

cluster/setup/packages.sh build
timed "building into build/release" build release trireme image_classification

# A data set appears under its name whole or not at all, so a folder that is there is done.
data=data/fashion-mnist
if [[ ! -d "$data" ]]; then
  status=0
  cluster/setup/fetch_fashion_mnist.sh data/fashion-mnist-idx || status=$?
  if [[ $status -eq 0 ]]; then
    timed "importing Fashion-MNIST into HDF5 shards" import_fashion_mnist data/fashion-mnist-idx "$data"
  elif [[ $status -eq 69 ]]; then
    say "going on with generated drawn shapes: the same path, other pictures"
    data=data/shapes
    [[ -d "$data" ]] || timed "drawing shapes" "$trireme" data generate shapes --out "$data"
  else
    exit "$status"
  fi
fi

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
