#!/usr/bin/env bash
# fetch_fashion_mnist.sh DIR: puts the four gzipped IDX files of Fashion-MNIST into DIR, out of Debian's package
# dataset-fashion-mnist, which is unpacked, not installed: no root needed. DIR appears whole or not at all.
# Exit: 0 there, 2 usage, 69 it cannot be had here (no apt, no network): the caller may go on with drawn shapes.
set -euo pipefail

if [[ $# -ne 1 || "$1" == -* ]]; then
  echo "usage: fetch_fashion_mnist.sh DIR" >&2
  exit 2
fi
dir="$1"
package=dataset-fashion-mnist
unavailable=69
files=(train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz)

complete() {
  local file
  for file in "${files[@]}"; do
    [[ -s "$1/$file" ]] || return 1
  done
}
give_up() {
  echo "== Fashion-MNIST cannot be fetched: $*" >&2
  exit "$unavailable"
}

if complete "$dir"; then
  exit 0
fi
if [[ -e "$dir" ]]; then
  echo "== $dir lies there without all of: ${files[*]}; move it away or complete it" >&2
  exit 2
fi
if complete "/usr/share/datasets/fashion-mnist"; then
  installed=/usr/share/datasets/fashion-mnist
fi
for tool in apt-get dpkg-deb; do
  [[ -n "${installed:-}" ]] || command -v "$tool" >/dev/null || give_up "there is no $tool on this system"
done

mkdir -p "$(dirname "$dir")"
work="$(mktemp -d "$(dirname "$dir")/.fetch.XXXXXX")"
trap 'rm -rf "$work"' EXIT
if [[ -z "${installed:-}" ]]; then
  echo "== fetching Debian's $package (31 MB)"
  # As root apt would hand the download to a user that may not write here, and warn.
  download() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" </dev/null) >"$work/log" 2>&1; }
  if ! download; then
    # Without lists apt does not know the package; only root can have them made.
    [[ $EUID -ne 0 ]] || apt-get -q update </dev/null >/dev/null 2>&1 || true
    download || give_up "apt-get download $package failed: $(tail -n 1 "$work/log")"
  fi
  dpkg-deb -x "$work"/*.deb "$work/unpacked" || give_up "the package $package does not unpack"
  installed="$work/unpacked/usr/share/datasets/fashion-mnist"
  complete "$installed" || give_up "the package $package holds other files than ${files[*]}"
fi
mkdir "$work/whole"
for file in "${files[@]}"; do
  gzip -t "$installed/$file" || give_up "$file is damaged"
  cp "$installed/$file" "$work/whole/"
done
mv -T "$work/whole" "$dir"
echo "== Fashion-MNIST lies in $dir"
