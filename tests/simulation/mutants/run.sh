#!/usr/bin/env bash
# Can the simulation fail? Each patch here breaks the core in one place. For each: applies it to a copy
# of the sources, builds kancel-simulate, runs seeds until one fails, and prints which check it was.
#
#   run.sh [--seeds N] [MUTANT]...     all of them by default, at most N seeds each (2000)
#
# Exit 1 when one is not caught. SCRATCH keeps the copy and its build in that folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
seeds=2000
if [ "${1:-}" = --seeds ]; then
    seeds=$2
    shift 2
fi
scratch=${SCRATCH:-$(mktemp -d)}
[ -n "${SCRATCH:-}" ] || trap 'rm -rf "$scratch"' EXIT
rm -rf "$scratch/tree"
mkdir -p "$scratch/tree"
find "$root" -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name '.git' -exec cp -r {} "$scratch/tree" \;

build() {
    cmake --build "$scratch/build" --target kancel-simulate >"$scratch/build.log" 2>&1
}

# Assertions count as checks, so this is no release build.
cmake -S "$scratch/tree" -B "$scratch/build" -G Ninja -DKANCEL_TESTS=ON \
    -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS='-O1 -w' >/dev/null
build || { tail -20 "$scratch/build.log"; exit 1; }
simulate=$scratch/build/tests/simulation/kancel-simulate

# What a patch touched, as it was: taken back, a patch might fit somewhere else too.
restore() {
    local file
    sed -n 's|^--- a/||p' "$1" | while read -r file; do
        cp "$root/$file" "$scratch/tree/$file"
    done
}

# run_mutant PATCH: one row of the table; 1: not caught.
run_mutant() {
    local name breaks count said
    name=$(basename "$1" .patch)
    breaks=$(sed -n 1p "$1")
    patch -p1 -s -f --no-backup-if-mismatch -d "$scratch/tree" -i "$1" || { echo "$name: does not apply"; return 1; }
    if ! build; then
        echo "$name: does not build"
        tail -20 "$scratch/build.log"
        restore "$1"
        return 1
    fi
    timeout 600 "$simulate" --until-caught "1..$seeds" >"$scratch/out" 2>"$scratch/err" || true
    restore "$1"
    said=$(sed -n '/^ *replay:/d; 1p' "$scratch/err" | sed -E 's/^seed [0-9]+ failed at [0-9]+ ms: //; s/^kancel-simulate: //')
    count=$(sed -nE 's/^seed ([0-9]+) failed.*/\1/p; s/^crashed; replay: .*--seed ([0-9]+)$/\1/p; s/.*, seen after ([0-9]+) seeds$/\1/p' "$scratch/err" | head -1)
    printf '%-26s | %-58s | %5s | %s\n' "$name" "$breaks" "${count:--}" "${said:-NOT CAUGHT in $seeds seeds}"
    [ -n "$count" ]
}

missed=0
printf '%-26s | %-58s | %5s | %s\n' mutant breaks seeds "caught by"
[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.patch)
total=0
for mutant in "$@"; do
    total=$((total + 1))
    run_mutant "$here/$(basename "$mutant" .patch).patch" || missed=$((missed + 1))
done
echo "$total mutants, $missed not caught"
[ "$missed" -eq 0 ]
