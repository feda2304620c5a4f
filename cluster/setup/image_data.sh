# Shared by the scripts that train on images; sourced after common.sh.
# shellcheck shell=bash

import_fashion_mnist() {
  local raw="$1" out="$2"
  build/release/launcher/trireme data import idx --out "$out" --name fashion-mnist \
    --classes "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot" \
    --images "$raw/train-images-idx3-ubyte.gz" --labels "$raw/train-labels-idx1-ubyte.gz" \
    --test-images "$raw/t10k-images-idx3-ubyte.gz" --test-labels "$raw/t10k-labels-idx1-ubyte.gz"
}

# Sets `data` to the folder of Fashion-MNIST, or of drawn shapes where the images cannot be had. A data set appears under
# its name whole or not at all, so a folder that is there is done.
prepare_images() {
  data=data/fashion-mnist
  [[ ! -d "$data" ]] || return 0
  local status=0
  cluster/setup/fetch_fashion_mnist.sh data/fashion-mnist-idx || status=$?
  if [[ $status -eq 0 ]]; then
    timed "importing Fashion-MNIST into HDF5 shards" import_fashion_mnist data/fashion-mnist-idx "$data"
  elif [[ $status -eq 69 ]]; then
    say "going on with generated drawn shapes: the same path, other pictures"
    data=data/shapes
    [[ -d "$data" ]] ||
      timed "drawing shapes" build/release/launcher/trireme data generate shapes --out "$data"
  else
    return "$status"
  fi
}
