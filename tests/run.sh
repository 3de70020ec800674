#!/usr/bin/env bash
# Runs tests and counts: every cmocka program of each build folder whose source is still there and, with
# the first folder's program, every tests/cli/*.sh. All of them print TAP. The last line is "N passed,
# N failed", what was skipped is counted on the line before; exit 1 if anything failed or nothing passed.
#
#   tests/run.sh BUILD_DIR...
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || { echo "usage: tests/run.sh BUILD_DIR..." >&2; exit 2; }

export CMOCKA_MESSAGE_OUTPUT=TAP
# Threads that wait sleep instead of spinning: on a busy machine small runs are many times as fast.
export OMP_WAIT_POLICY=passive
output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0 skipped=0

# Counts one TAP text: prints "passed failed skipped". Results that the plans (1..N, one for each
# group) promise and that never came are failures, and so is a program that failed without saying
# which test, or that ran none. cmocka 1.1 calls a skipped test "not ok N # SKIP".
count() { # exit status of the program
    awk -v status="$1" '
        /^1\.\.[0-9]+/ { plan += substr($0, 4) }
        /^(not )?ok [0-9]+.*# SKIP/ { skipped++; next }
        /^ok [0-9]+/ { passed++ }
        /^not ok [0-9]+/ { failed++ }
        END {
            missing = plan - passed - failed - skipped
            if (missing > 0) failed += missing
            if (!failed && (status != 0 || plan == 0)) failed++
            print passed + 0, failed + 0, skipped + 0
        }' "$output"
}

run() { # command...
    local name="$*" status start=$SECONDS ok bad skip
    "$@" >"$output" 2>&1 </dev/null
    status=$?
    read -r ok bad skip < <(count $status)
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-56s %4d passed' "$name" "$ok"
    [ "$bad" = 0 ] || printf ', %d FAILED (exit status %d)' "$bad" $status
    [ "$skip" = 0 ] || printf ', %d skipped' "$skip"
    printf ' (%d s)\n' $((SECONDS - start))
    if [ "$bad" != 0 ]; then
        sed 's/^/    /' "$output"
    else
        grep '# SKIP' "$output" | sed 's/^[^#]*# SKIP/    skipped:/'
    fi
}

export VT_BUILD=$1
for build in "$@"; do
    for program in "$build"/tests/test_*; do
        if [ -x "$program" ] && [ -f "tests/unit/${program##*/}.c" ]; then run "$program"; fi
    done
done
for script in tests/cli/*.sh; do
    if [ -f "$script" ] && [ "$script" != tests/cli/lib.sh ]; then run bash "$script"; fi
done

[ $skipped = 0 ] || echo "$skipped skipped: see above why"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
