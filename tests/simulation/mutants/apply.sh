#!/usr/bin/env bash
# Every mutant still applies to the sources. A core that changed where one cuts needs that patch made
# anew: otherwise nobody would notice that the simulation has lost a proof.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
failed=0
for mutant in "$here"/*.patch; do
    if ! said=$(patch -p1 -f -s --dry-run -r - -d "$root" -i "$mutant" 2>&1); then
        echo "$(basename "$mutant") does not apply any more:"
        echo "$said"
        failed=1
    fi
done
[ "$failed" -eq 0 ] && echo "$(ls "$here"/*.patch | wc -l) mutants apply"
exit "$failed"
