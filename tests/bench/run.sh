#!/usr/bin/env bash
# Measures the worker of a build folder (build/, or $BUILD) on a real Kafka and prints tables.
#
#   run.sh [worker] [OPTION]...   commands a second, CPU, memory, latency
#   run.sh peers [OPTION]...      beside what others use (--peers FOLDER), in turn
#   run.sh scale [NAME]...       what must not grow with backlog, keys, accounts, ..., and what must
#   run.sh features [OPTION]...   what each feature costs, by switching it off
#   run.sh profile [OPTION]...    where the worker's time goes under load
#   run.sh instructions [OPTION]...  instructions a command, against instructions.txt (in ctest; no Kafka)
#   run.sh limits [TEST]...       slow accounts, outages, shared rates: tests/system/limits.py in full, 20 minutes
#
#   --repeat N       rounds (3)
#   --json FILE      writes all figures
#   --compare FILE   against an earlier run's file
#   --help           what else that bench takes; README.md tells what each is about
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bench=worker
case "${1:-}" in
-h | --help)
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
-* | '') ;;
*)
    bench=$1
    shift
    ;;
esac
script=$here/$bench.py
case "$bench" in
worker | peers | scale | features | profile | instructions) ;;
limits)
    script=$here/../system/limits.py
    export KANCEL_FULL=1
    ;;
*)
    echo "bench/run.sh: no bench $bench, see --help" >&2
    exit 2
    ;;
esac
build=$(cd "${BUILD:-$here/../../build}" && pwd)
if [ "$(sed -n 's/^SANITIZE:[^=]*=//p' "$build/CMakeCache.txt")" != "" ]; then
    echo "bench/run.sh: $build is built with a sanitizer: nothing to measure" >&2
    exit 2
fi
if [ "$bench" = instructions ]; then
    cmake --build "$build" --target kancel-instructions >&2
    KANCEL_INSTRUCTIONS=$build/tests/bench/kancel-instructions exec python3 -B "$script" "$@"
fi
cmake --build "$build" --target kancel kancel-simulator kancel-probe kancel-load >&2

export KANCEL_WORKER=$build/kancel
export KANCEL_SIMULATOR=$build/tests/simulator/kancel-simulator
export KANCEL_PROBE=$build/tests/system/kancel-probe
export KANCEL_LOAD=$build/tests/bench/kancel-load
export KANCEL_RUN=$build/tests/bench/run
export KANCEL_KAFKA_HEAP=1g
export PYTHONPATH=$here/../system

trap 'python3 -B "$here/../system/kafka.py" down "$KANCEL_RUN"' EXIT
# What only wants to know the options needs no broker.
case " $* " in
*" --help "* | *" -h "*) ;;
*) python3 -B "$here/../system/kafka.py" up "$KANCEL_RUN" >&2 ;;
esac
python3 -B "$script" "$@"
