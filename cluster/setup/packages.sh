#!/usr/bin/env bash
# packages.sh build|test|fuzz: installs the Debian packages that are missing, as root or with sudo that asks for no password.
# Where it may do neither, it prints the missing ones with the line to type and exits 2. No apt call when none is missing.
# TRIREME_SKIP_PACKAGES=1 leaves everything to CMake, which names what it does not find.
set -euo pipefail

for_build=(g++ make cmake ninja-build libopenmpi-dev openmpi-bin libhdf5-dev hdf5-tools
  libboost-program-options-dev libdnnl-dev libgtest-dev nlohmann-json3-dev libfmt-dev libxxhash-dev
  zlib1g-dev libpng-dev libjpeg62-turbo-dev libsqlite3-dev ocl-icd-opencl-dev procps)
for_test=(ccache iproute2 openssh-server slurm-wlm munge git shellcheck groff man-db python3-yaml)
for_fuzz=(clang libclang-rt-dev)

kind="${1:-build}"
wanted=("${for_build[@]}")
case "$kind" in
  build) ;;
  test) wanted+=("${for_test[@]}") ;;
  fuzz) wanted+=("${for_fuzz[@]}") ;;
  *)
    echo "packages.sh: wanted 'build', 'test' or 'fuzz', found '$1'" >&2
    exit 2
    ;;
esac

if [[ "${TRIREME_SKIP_PACKAGES:-0}" == 1 ]]; then
  exit 0
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "== not a Debian system: install the counterparts of these packages yourself: ${wanted[*]}" >&2
  exit 0
fi

installed="$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)"
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    {
      echo "== missing packages: ${missing[*]}"
      echo "== not root, and sudo asks for a password (or is absent); type this and start again:"
      echo "     sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}"
    } >&2
    exit 2
  fi
fi

apt() {
  # An unattended upgrade may hold the lock for a while on a machine that has just started.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}
update() {
  apt update || echo "== apt-get update failed; going on with the lists that are there" >&2
}
# sshd, munge and Slurm's daemons are for virtual clusters alone, which start their own: while packages are unpacked here,
# none is started as a service of this machine. A policy that is there already stays.
policy=/usr/sbin/policy-rc.d
start_no_services() {
  [[ "$kind" == test && ! -e $policy ]] || return 0
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
}
install_missing() { apt install -y --no-install-recommends "${missing[@]}"; }

echo "== installing packages: ${missing[*]}"
start_no_services
lists="$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' 2>/dev/null | head -n 1 || true)"
fresh=no
if [[ -z "$lists" ]]; then
  update
  fresh=yes
fi
if install_missing; then
  exit 0
fi
# Old lists name versions that the mirror has dropped.
if [[ $fresh == no ]]; then
  echo "== the installation failed, perhaps for old package lists: updating them and trying once more" >&2
  update
  if install_missing; then
    exit 0
  fi
fi
{
  echo "== could not install: ${missing[*]}"
  echo "== see apt's message above (no network, no mirror, a full disk?), or type:"
  echo "     apt-get update && apt-get install --no-install-recommends ${missing[*]}"
} >&2
exit 2
