#!/usr/bin/env bash
# build.sh [PRESET]: installs what is missing, configures, builds everything (release).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cluster/setup/packages.sh build
build "${1:-release}"
