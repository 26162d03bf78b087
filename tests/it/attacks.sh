#!/bin/sh
# attacks.sh FILE: prints what the tests wrote into FILE as a table: of each test its attacks, and what was seen to come of
# each. Prints nothing where there is no such file: without root no attack is tried.
[ -s "$1" ] || exit 0
LC_ALL=C sort -s -t "$(printf '\t')" -k 1,1 "$1" | awk -F '\t' '
    $1 != test { test = $1; tests++; printf "\n%s\n", test }
    { printf "  %-64s  %s\n", $2, $3 }
    END { printf "\n%d attacks of %d tests\n", NR, tests }'
