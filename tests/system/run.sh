#!/usr/bin/env bash
# One file of system tests by hand, on a Kafka of its own that is stopped afterwards:
#
#   tests/system/run.sh drain [Drain.test_exactly_once]...
#   KANCEL_CHAOS_MINUTES=10 tests/system/run.sh chaos
#
# BUILD names the build folder (build). Configurations and logs stay in BUILD/tests/system/by-hand.
set -euo pipefail

[ $# -gt 0 ] || { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-$here/../../build}" && pwd)
name=$1
shift

export KANCEL_RUN=$build/tests/system/by-hand
export KANCEL_WORKER=$build/kancel
export KANCEL_SIMULATOR=$build/tests/simulator/kancel-simulator
export KANCEL_PROBE=$build/tests/system/kancel-probe
export KANCEL_LEDGER=$build/tests/system/kancel-ledger
export KANCEL_LOAD=$build/tests/bench/kancel-load
export KANCEL_CRASHING=$build/tests/system/kancel-crash
export KANCEL_BROKER=$build/tests/simulator/kancel-broker

trap 'python3 -B "$here/kafka.py" down "$KANCEL_RUN"' EXIT
# Its brokers are its own.
[ "$name" = chaos ] || python3 -B "$here/kafka.py" up "$KANCEL_RUN"
mkdir -p "$KANCEL_RUN"
python3 -B "$here/$name.py" "$@"
