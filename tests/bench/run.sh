#!/usr/bin/env bash
# Measures the worker of a build folder (build/, or $BUILD) and prints a table.
#
#   run.sh [OPTION]...            commands a second, CPU, memory, latency
#   run.sh throttled [OPTION]...  a provider that takes 50 calls a second; polls of 10,000 commands
#   run.sh limits [TEST]...       slow accounts, outages, shared rates: tests/system/limits.py in full, 20 minutes
#
#   --repeat N   measurements a row (3)
#   --row N      only this row, from 1; may be given several times
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
script=$here/bench.py
if [ "${1:-}" = throttled ]; then
    script=$here/throttled.py
    shift
elif [ "${1:-}" = limits ]; then
    script=$here/../system/limits.py
    export KANCEL_FULL=1
    shift
fi
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
python3 -B "$script" "$@"
