#!/usr/bin/env bash
# fetch_jane_austen.sh TRIREME DIR: puts Jane Austen's six novels as text files into DIR, out of Debian's package
# r-cran-janeaustenr, which is unpacked, not installed: no root and no R needed. DIR appears whole or not at all.
# Exit: 0 there, 2 usage, 69 it cannot be had here (no apt, no network).
set -euo pipefail

if [[ $# -ne 2 || "$1" == -* ]]; then
  echo "usage: fetch_jane_austen.sh TRIREME DIR" >&2
  exit 2
fi
trireme="$1" dir="$2"
package=r-cran-janeaustenr
database=usr/lib/R/site-library/janeaustenr/data/Rdata.rdb
unavailable=69

give_up() {
  echo "== Jane Austen's novels cannot be fetched: $*" >&2
  exit "$unavailable"
}

if [[ -d "$dir" ]]; then
  exit 0
fi
mkdir -p "$(dirname "$dir")"
work="$(mktemp -d "$(dirname "$dir")/.fetch.XXXXXX")"
trap 'rm -rf "$work"' EXIT
found="/$database"
if [[ ! -s "$found" ]]; then
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || give_up "there is no $tool on this system"
  done
  echo "== fetching Debian's $package (2 MB)"
  # As root apt would hand the download to a user that may not write here, and warn.
  download() { (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" </dev/null) >"$work/log" 2>&1; }
  if ! download; then
    # Without lists apt does not know the package; only root can have them made.
    [[ $EUID -ne 0 ]] || apt-get -q update </dev/null >/dev/null 2>&1 || true
    download || give_up "apt-get download $package failed: $(tail -n 1 "$work/log")"
  fi
  dpkg-deb -x "$work"/*.deb "$work/unpacked" || give_up "the package $package does not unpack"
  found="$work/unpacked/$database"
  [[ -s "$found" ]] || give_up "the package $package has no $database"
fi
"$trireme" data import rdb "$found" --out "$dir"
