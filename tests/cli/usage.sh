#!/usr/bin/env bash
# Help, version, and what is wrong on the command line: exit status 2, one line, the nearest name.
. tests/cli/lib.sh

run "$vitrain" --version
check "--version" test $status = 0 -a "${out#vitrain [0-9]}" != "$out" -a -z "$err"
for command in train experiment eval report predict attend info bench preprocess probe pack convert; do
    run "$vitrain" --help
    check "--help names $command" grep -q "^  $command " "$dir/.out"
    run "$vitrain" $command --help
    check "$command --help" test $status = 0 -a "${out#usage: vitrain $command}" != "$out" -a -z "$err"
    fails "$command: nearest option" 2 "^vitrain: $command has no option --qiet.*--quiet" \
        "$vitrain" $command --qiet
done
run "$vitrain" version
check "version" test $status = 0 -a "$out" = "$("$vitrain" --version)"
for word in help -h; do
    run "$vitrain" $word
    check "$word: as --help" test $status = 0 -a "$out" = "$("$vitrain" --help)"
done
run "$vitrain" help pack
check "help COMMAND" test $status = 0 -a "$out" = "$("$vitrain" pack --help)"
run "$vitrain" pack -h
check "COMMAND -h" test $status = 0 -a "$out" = "$("$vitrain" pack --help)"
fails "help for no command" 2 "no command pakc; the nearest is pack" "$vitrain" help pakc
fails "help for two" 2 "help does not know what to do with \"eval\"" "$vitrain" help pack eval
run "$vitrain" train --help
check "train --help lists the configuration's keys" grep -q "optim.lr_base_batch" "$dir/.out"

fails "nothing to do" 2 "^vitrain: .*--help" "$vitrain"
fails "nearest command" 2 "evla.* eval" "$vitrain" evla
fails "a far command" 2 "no command xyzzy " "$vitrain" xyzzy
fails "an option without its value" 2 "config needs a value" "$vitrain" train --config
fails "an empty value" 2 "config needs a value" "$vitrain" train --config=
fails "a flag with a value" 2 "json takes no value" "$vitrain" info --json=1
fails "an option twice" 2 "config is given twice" "$vitrain" train --config a --config b
fails "a single dash" 2 "options are written --name" "$vitrain" info -json
fails "train without its configuration" 2 "train needs --config" "$vitrain" train
fails "eval without weights" 2 "eval needs --checkpoint" "$vitrain" eval --config a
fails "predict without pictures" 2 "predict needs WEIGHTS IMAGE" "$vitrain" predict a
fails "too many operands" 2 "know what to do with \"b\"" "$vitrain" info a b
fails "an operand to train" 2 "know what to do with \"a\"" "$vitrain" train --config c a
# Whatever it is started as (an experiment's runs are started through /proc/self/exe).
ln -s "$vitrain" "$dir/exe"
"$dir/exe" bench peak >"$dir/.out" 2>&1 &
name=$(for _ in $(seq 300); do
    if grep -sx vitrain "/proc/$!/comm"; then break; fi
    sleep 0.01
done)
kill $!
wait $! 2>/dev/null
check "a process's name" test "$name" = vitrain
if [ -e /dev/full ]; then
    "$vitrain" --version >/dev/full 2>"$dir/.err"
    check "an answer that cannot be written" test $? = 1 -a -s "$dir/.err"
fi
finish
