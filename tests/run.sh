#!/usr/bin/env bash
# Installs what is needed, builds, runs all tests. Its last lines are ctest's summary.
#
#   --fast         no Kafka and no sanitized build: a minute
#   -R REGEX       only the tests whose names match (system.drain, unit.core, sanitized, ...)
#   --no-install   the dependencies are there
#
# build/ is an ordinary build, build-asan/ one with the address and undefined-behaviour
# sanitizers; its tests are called sanitized.NAME. BUILD_ROOT puts both elsewhere.
set -euo pipefail

cd "$(dirname "$0")/.."
root=${BUILD_ROOT:-$PWD}
jobs=$(nproc)
fast=
install=yes
select=()
while [ $# -gt 0 ]; do
    case "$1" in
    --fast) fast=yes ;;
    --no-install) install= ;;
    -R)
        [ $# -gt 1 ] || { echo "run.sh: -R wants a regular expression" >&2; exit 2; }
        select=(-R "$2")
        shift
        ;;
    -h | --help)
        sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *)
        echo "run.sh: unknown option $1, see --help" >&2
        exit 2
        ;;
    esac
    shift
done

step() {
    printf '\n== %s (after %d s)\n' "$*" "$SECONDS"
}

# build FOLDER [CMAKE-OPTION]...
build() {
    local folder=$1 generator=()
    shift
    [ -f "$folder/CMakeCache.txt" ] || generator=(-G Ninja)
    # Not -DCMAKE_C_COMPILER: where a folder has another name of it, cmake then forgets all options.
    CC=gcc cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DKANCEL_TESTS=ON -DKANCEL_WERROR=ON --log-level=WARNING "$@"
    cmake --build "$folder" --parallel "$jobs"
}

stop_brokers() {
    local folder
    for folder in "$root"/build/tests/system/run "$root"/build-asan/tests/system/run; do
        [ ! -d "$folder" ] || python3 -B tests/system/kafka.py down "$folder" || true
    done
}

if [ -n "$install" ]; then
    step "dependencies"
    docker/install-deps.sh --tests
fi

step "building $root/build with gcc, warnings are errors"
build "$root/build"
folders=("$root/build")
if [ -z "$fast" ]; then
    step "building $root/build-asan with the sanitizers"
    build "$root/build-asan" -DSANITIZE=address
    # The names that ctest reads, so that one run can hold the tests of both builds.
    find "$root/build-asan" -name CTestTestfile.cmake -exec sed -i -E \
        's/^(add_test|set_tests_properties)\((\[=*\[)?(sanitized\.)?/\1(\2sanitized./' {} +
    folders+=("$root/build-asan")
else
    select+=(-E '^system[.]')
fi

# One run over both builds: one summary.
mkdir -p "$root/build/all"
printf 'subdirs("%s")\n' "${folders[@]}" >"$root/build/all/CTestTestfile.cmake"
export UBSAN_OPTIONS=print_stacktrace=1
# Killed half-way, ctest does not run its clean-up.
trap stop_brokers EXIT
step "testing, $jobs at a time"
status=0
ctest --test-dir "$root/build/all" --parallel "$jobs" --output-on-failure --no-tests=error \
    "${select[@]}" || status=$?
exit "$status"
