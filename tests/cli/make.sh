#!/usr/bin/env bash
# The Makefile on a project of two files: what was built with other flags is built again.
. tests/cli/lib.sh

mkdir -p "$dir/src/base" "$dir/src/cli"
cp Makefile "$dir"
echo 'int one(void); int one(void) { return 1; }' >"$dir/src/base/one.c"
echo 'int main(void) { return 0; }' >"$dir/src/cli/main.c"
made() { # name, number of files to be compiled, make's arguments...
    local name=$1 want=$2
    shift 2
    run env -u MAKEFLAGS -u MAKELEVEL -u ARCH -u CFLAGS -u CI -u config make -C "$dir" "$@"
    if [ $status = 0 ] && [ "$(grep -c '^  CC' "$dir/.out")" = "$want" ]
    then pass "$name"
    else fail "$name" "$dir/.out" "$dir/.err"
    fi
}
made "all is built" 2
made "nothing is built twice" 0
made "a flag: all of it" 2 CFLAGS=-DTEXT=\'\"a\"\'
made "and not again" 0 CFLAGS=-DTEXT=\'\"a\"\'
made "without it, too" 2
made "warnings that are errors: nothing" 0 CI=true
if [ "$(uname -m)" = x86_64 ]; then
    made "another processor" 2 ARCH=x86-64
    made "and not again" 0 ARCH=x86-64
fi
made "a folder for each configuration" 2 config=debug
touch "$dir/src/cli/main.c"
made "one file" 1 config=debug
finish
