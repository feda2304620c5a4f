#!/usr/bin/env bash
# format.sh [--check]: clang-format 14 over all C++ sources; with --check it changes nothing and fails where it would.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
formatter="$(command -v clang-format-14 || true)"
if [[ -z "$formatter" ]]; then
  echo "clang-format-14 is missing (another version formats otherwise); on Debian: apt-get install clang-format-14" >&2
  exit 2
fi
mapfile -d '' -t files < <(find core comm datasets launcher examples tests -type f \
  \( -name '*.cpp' -o -name '*.hpp' \) -print0)
if [[ "${1:-}" == --check ]]; then
  "$formatter" --dry-run --Werror "${files[@]}"
  say "${#files[@]} files are formatted"
else
  "$formatter" -i "${files[@]}"
fi
