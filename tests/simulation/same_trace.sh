#!/usr/bin/env bash
# Two processes, the same seeds, the same trace. Addresses differ between them, so that a decision by
# an address is seen too.
set -euo pipefail
first=$("$1" --seeds 1..10 | grep '^hash')
second=$("$1" --seeds 1..10 | grep '^hash')
echo "$first, then $second"
[ "$first" = "$second" ]
