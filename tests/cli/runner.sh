#!/usr/bin/env bash
# The test runner counts what went wrong: it would be of no use if it could not fail.
. tests/cli/lib.sh

mkdir -p "$dir/tests/unit" "$dir/build/tests"
cp tests/run.sh "$dir/tests"
touch "$dir/tests/unit/test_x.c"
program=$dir/build/tests/test_x

try() { # name, exit status, last line, program's text
    printf '#!/bin/sh\n%s\n' "$4" >"$program"
    chmod +x "$program"
    run "$dir/tests/run.sh" build
    if [ $status = "$2" ] && [ "$(tail -n 1 "$dir/.out")" = "$3" ]; then pass "$1"
    else fail "$1" "$dir/.out" "$dir/.err"
    fi
}
try "all passed" 0 "2 passed, 0 failed" 'printf "1..2\nok 1 - a\nok 2 - b\n"'
try "a failure" 1 "1 passed, 1 failed" 'printf "1..2\nok 1 - a\nnot ok 2 - b\n"; exit 1'
try "a skip, as cmocka writes it" 0 "1 passed, 0 failed" \
    'printf "1..2\nok 1 - a\nnot ok 2 # SKIP b\n"'
try "two groups" 0 "2 passed, 0 failed" 'printf "1..1\nok 1 - a\n# ok - A\n1..1\nok 1 - b\n"'
try "a crash after one of three" 1 "1 passed, 2 failed" \
    'printf "1..3\nok 1 - a\n"; kill -SEGV $$'
try "a crash at the end" 1 "1 passed, 1 failed" 'printf "1..1\nok 1 - a\n"; kill -ABRT $$'
try "no plan" 1 "0 passed, 1 failed" 'exit 0'
try "nothing but skips" 1 "0 passed, 0 failed" 'printf "1..1\nok 1 # SKIP a\n"'
rm "$dir/tests/unit/test_x.c"
try "a program whose source is gone is not run" 1 "0 passed, 0 failed" 'printf "1..1\nok 1 - a\n"'
finish
