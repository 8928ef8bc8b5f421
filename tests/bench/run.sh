#!/usr/bin/env bash
# Measures the worker of a build folder (build/, or $BUILD) and prints a table.
#
#   --repeat N   measurements a row (3)
#   --row N      only this row, from 1; may be given several times
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-$here/../../build}" && pwd)
if [ "$(sed -n 's/^SANITIZE:[^=]*=//p' "$build/CMakeCache.txt")" != "" ]; then
    echo "bench/run.sh: $build is built with a sanitizer: nothing to measure" >&2
    exit 2
fi
cmake --build "$build" --target kancel kancel-simulator kancel-probe kancel-load >&2

export KANCEL_WORKER=$build/kancel
export KANCEL_SIMULATOR=$build/tests/simulator/kancel-simulator
export KANCEL_PROBE=$build/tests/system/kancel-probe
export KANCEL_LOAD=$build/tests/bench/kancel-load
export KANCEL_RUN=$build/tests/bench/run

trap 'python3 -B "$here/../system/kafka.py" down "$KANCEL_RUN"' EXIT
python3 -B "$here/../system/kafka.py" up "$KANCEL_RUN" >&2
python3 -B "$here/bench.py" "$@"
