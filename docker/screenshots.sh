#!/usr/bin/env bash
# Makes docker/screenshots/: the operator's page in Chromium and the command line in a terminal, as a worker, the development
# broker and the simulator of the providers show them. Run it when the page or what the program says has changed:
#
#   docker/screenshots.sh            with what build/ holds (or $BUILD), configured with -DKANCEL_TESTS=ON
#
# It needs docker/install-deps.sh --tests, and the packages tmux and pngquant.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-$here/../build}" && pwd)
for tool in chromedriver tmux pngquant; do
    command -v $tool >/dev/null || { echo "screenshots: $tool is missing" >&2; exit 1; }
done

export KANCEL_RUN=$build/screenshots
export KANCEL_WORKER=$build/kancel
export KANCEL_SIMULATOR=$build/tests/simulator/kancel-simulator
export KANCEL_PROBE=$build/tests/system/kancel-probe
export KANCEL_BROKER=$build/tests/simulator/kancel-broker
mkdir -p "$KANCEL_RUN" "$here/screenshots"
PYTHONPATH=$here/../tests/system python3 -B "$here/screenshots.py" "$here/screenshots"
pngquant --force --ext .png --speed 1 --strip 96 "$here"/screenshots/*.png
du -ch "$here"/screenshots/* | tail -n 1
