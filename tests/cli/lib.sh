# shellcheck shell=bash disable=SC2034
# Sourced by the tests of the command line. Each test prints TAP; `finish` prints the plan. Run from
# the repository root, with VT_BUILD naming the build folder (build/release if unset).
set -u
build=$PWD/${VT_BUILD:-build/release}
vitrain=$build/vitrain
material=$build/tests/material
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tests=0

pass() { echo "ok $((++tests)) - $1"; }
skip() { echo "ok $((++tests)) # SKIP $1"; }
fail() { # name, file to show...
    echo "not ok $((++tests)) - $1"
    shift
    if [ $# -gt 0 ]; then tail -n 20 "$@" 2>&1 | sed 's/^/# /'; fi
}
check() { # name, command...: passes if the command succeeds
    local name=$1
    shift
    if "$@" >"$dir/.check" 2>&1; then pass "$name"; else fail "$name" "$dir/.check"; fi
}
finish() { echo "1..$tests"; }

# Runs a command; leaves its exit status in $status, its answer in $out, its messages in $err.
run() {
    "$@" >"$dir/.out" 2>"$dir/.err" </dev/null
    status=$?
    out=$(cat "$dir/.out") err=$(cat "$dir/.err")
}

# Whether a command fails with this exit status and says one line on stderr that matches the pattern.
fails() { # name, status, pattern, command...
    local name=$1 want=$2 pattern=$3
    shift 3
    run "$@"
    if [ $status = "$want" ] && [ "$(wc -l <"$dir/.err")" = 1 ] && grep -qE -- "$pattern" "$dir/.err"
    then pass "$name"
    else
        echo "wanted status $want and one line matching '$pattern'; got status $status" >"$dir/.why"
        fail "$name" "$dir/.why" "$dir/.err"
    fi
}

number() { sed -n "s/.*\"$1\": *\([-+.e0-9]*\).*/\1/p" <<<"$out"; } # of a key in a JSON answer
holds() { awk "BEGIN { exit !($1) }"; }                               # an inequality of numbers
