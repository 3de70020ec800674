#!/usr/bin/env bash
# Includes go up the list of rooms only, and the check that says so can fail.
. tests/cli/lib.sh

check "every include goes to its own room or one above" tests/check_rooms.sh

mkdir -p "$dir/src/ops" "$dir/src/io" "$dir/include/vitrain/mix"
touch "$dir/include/vitrain/mix/mix.h"
try() { # name, file, line that must be refused
    echo "$3" >"$dir/$2"
    run tests/check_rooms.sh "$dir"
    if [ $status = 1 ] && [ "$(wc -l <"$dir/.out")" = 1 ] && [[ $out == "$2:1: "* ]]
    then pass "$1"
    else fail "$1" "$dir/.out" "$dir/.err"
    fi
    rm "$dir/$2"
}
try "ops including data is caught" src/ops/x.c '#include "vitrain/data/loader.h"'
try "a public header is caught too" include/vitrain/mix/x.h '#include "vitrain/label/label.h"'
try "a path through another folder is caught" src/io/x.c '#  include "../model/vit.h"'
try "a second caller of cJSON is caught" src/io/x.c '#include <cjson/cJSON.h>'
echo '#include "vitrain/base/status.h"' >"$dir/src/io/x.c"
check "a room above is allowed" tests/check_rooms.sh "$dir"
finish
