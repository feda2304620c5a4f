# Shared by the set-up scripts: where the repository lies, how a line of progress looks, configure and build.
# To be sourced: . "$(dirname "$0")/common.sh"
# shellcheck shell=bash
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"
JOBS="${JOBS:-$(nproc)}"
export JOBS

# nvcc is often installed but not on the PATH of a plain shell; CMake looks only there.
if ! command -v nvcc >/dev/null && [[ -x /usr/local/cuda/bin/nvcc ]]; then
  export PATH="$PATH:/usr/local/cuda/bin"
fi
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER="${CMAKE_CXX_COMPILER_LAUNCHER-ccache}"
  # Builds in other folders of this one take what one of them has compiled.
  export CCACHE_BASEDIR="${CCACHE_BASEDIR-$root}" CCACHE_NOHASHDIR="${CCACHE_NOHASHDIR-1}"
fi

say() { printf '== %s\n' "$*"; }
warn() { printf '== %s\n' "$*" >&2; }

# Runs a command, says how long it took and returns its status. A function called through it does not stop at its first
# failure (bash switches `set -e` off left of ||): such functions chain their steps with &&.
timed() {
  local name="$1" start="$SECONDS" status=0
  shift
  say "$name"
  "$@" || status=$?
  say "$name: $((SECONDS - start)) s$([[ $status -eq 0 ]] || printf ', FAILED with status %s' "$status")"
  return "$status"
}

# configure PRESET: only the first time; ninja repeats it by itself when a CMake file changes.
configure() {
  [[ -f "build/$1/build.ninja" ]] || cmake --preset "$1"
}

# build PRESET [TARGET...]: everything where no target is named.
build() {
  local preset="$1"
  shift
  configure "$preset" || return
  if [[ $# -gt 0 ]]; then
    cmake --build "build/$preset" --parallel "$JOBS" --target "$@"
  else
    cmake --build "build/$preset" --parallel "$JOBS"
  fi
}
