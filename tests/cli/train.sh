#!/usr/bin/env bash
# A run: its folder, that nothing but the seed decides its bits, and that a stopped one goes on as if
# nothing had been.
. tests/cli/lib.sh
tiny_problem
train() { "$vitrain" --config "$dir/tiny.json" --quiet "$@"; }

run train
check "a run ends well" test $status = 0
for file in config.json log.jsonl steps.jsonl model.safetensors best.safetensors last.safetensors; do
    check "it leaves $file" test -s "$dir/run/$file"
done
check "a line for each epoch" test "$(wc -l <"$dir/run/log.jsonl")" = 3
for key in train_loss train_lr test_loss test_acc1 test_acc5 epoch n_parameters; do
    check "log.jsonl has $key" grep -q "\"$key\":" "$dir/run/log.jsonl"
done
check "a line for each step" test "$(wc -l <"$dir/run/steps.jsonl")" = 9
sum=$(cat "$dir/run"/* | cksum)
run train
check "a finished run says so" test $status = 0 -a "$(grep -ci finished <<<"$out$err")" -gt 0
check "and changes nothing" test "$(cat "$dir/run"/* | cksum)" = "$sum"
run train --set train.epochs=4
check "epochs may grow" test $status = 0 -a "$(wc -l <"$dir/run/log.jsonl")" = 4
fails "another model does not resume" 2 "model.depth" train --set model.depth=1 --set train.epochs=5
fails "nor other mixing" 2 "mix.prob" train --set mix.prob=0.5 --set train.epochs=5

# Workers and places.
run train --set output="$dir/a" --set data.workers=0
run train --set output="$dir/b" --set data.workers=3
check "any number of workers: the same bits" cmp "$dir/a/model.safetensors" "$dir/b/model.safetensors"
run train --set output="$dir/c" --set train.seed=1
check "another seed: other bits" test -n "$(cmp "$dir/a/model.safetensors" "$dir/c/model.safetensors")"

# Stopped in the middle: the same path twice, because last.safetensors keeps its configuration.
long=(--set train.epochs=100 --set output="$dir/run")
rm -r "$dir/run"
run train "${long[@]}"
mv "$dir/run" "$dir/whole"
lines_of() { if [ -e "$1" ]; then wc -l <"$1"; else echo 0; fi; }
stopped() { # signal: starts the run, sends the signal after a few epochs, leaves $status and $lines
    rm -rf "$dir/run"
    "$vitrain" --config "$dir/tiny.json" --quiet "${long[@]}" >"$dir/.out" 2>"$dir/.err" &
    for _ in $(seq 3000); do
        if [ "$(lines_of "$dir/run/log.jsonl")" -ge 3 ]; then break; fi
        sleep 0.01
    done
    kill "-$1" $!
    wait $! 2>/dev/null
    status=$?
    lines=$(lines_of "$dir/run/log.jsonl")
}
for signal in TERM INT KILL; do
    stopped $signal
    case $signal in KILL) want=137 ;; *) want=130 ;; esac
    check "SIG$signal stops a run in the middle, exit $want" test $status = $want -a "$lines" -lt 100
    run train "${long[@]}"
    check "it goes on" test $status = 0
    for file in last.safetensors model.safetensors best.safetensors shares.jsonl; do
        check "to the same $file" cmp "$dir/run/$file" "$dir/whole/$file"
    done
    check "and as many lines" test "$(cat "$dir/run"/{log,steps}.jsonl | wc -l)" = \
        "$(cat "$dir/whole"/{log,steps}.jsonl | wc -l)"
done

# Killed again and again, wherever it happens to be.
rm -rf "$dir/run"
turn=0 kills=0
for signal in KILL TERM KILL TERM KILL KILL TERM KILL; do
    "$vitrain" --config "$dir/tiny.json" --quiet "${long[@]}" >"$dir/.out" 2>"$dir/.err" &
    sleep 0.0$((5 + turn++))
    kill "-$signal" $! 2>/dev/null
    wait $! 2>/dev/null
    case $? in 130 | 137 | 143) kills=$((kills + 1)) ;; esac # 143: SIGTERM before there was anything to save
done
run train "${long[@]}"
check "it was killed $kills of 8 times" test "$kills" -gt 0
check "it comes to the same end all the same" cmp "$dir/run/last.safetensors" "$dir/whole/last.safetensors"
check "and to the same shares.jsonl" cmp "$dir/run/shares.jsonl" "$dir/whole/shares.jsonl"
for log in log steps; do
    check "its $log.jsonl has each line once" cmp <(cut -d, -f1-3 "$dir/run/$log.jsonl") \
        <(cut -d, -f1-3 "$dir/whole/$log.jsonl")
done

# Other ways to begin.
rm -rf "$dir/run"
run train
mv "$dir/run" "$dir/old"
run train --set output="$dir/run" --set train.resume="$dir/old/last.safetensors" --set train.epochs=4
check "a run goes on from another one's state" test $status = 0 -a -s "$dir/run/best.safetensors"
cp "$dir/run/log.jsonl" "$dir/log"
run train --set output="$dir/run" --set train.resume="$dir/old/last.safetensors" --set train.epochs=4
check "the same command then finds its own state" test $status = 0
check "and leaves the run alone" cmp "$dir/run/log.jsonl" "$dir/log"
run train --set output="$dir/run" --set train.resume="$dir/old/last.safetensors" --set optim.lr=0.5
check "another run's folder is not written over" test $status = 2
mv "$dir/run/last.safetensors" "$dir/gone"
run train --set output="$dir/run" --set train.resume="$dir/old/last.safetensors" --set train.epochs=4
check "nor one whose state is gone" test $status = 2
check "whose log stays" cmp "$dir/run/log.jsonl" "$dir/log"
mv "$dir/gone" "$dir/run/last.safetensors"
run train --set output="$dir/run" --set train.resume=never --set optim.lr=1e30
check "a new run in an old folder that blows up" test $status = 1
run train --set output="$dir/run" --set optim.lr=1e30
check "the old one is not taken for it" test $status = 1
run train --set output="$dir/nan" --set optim.name=sgd --set optim.lr=1e30 --set train.epochs=1 \
    --set schedule.warmup_epochs=0 --set train.batch_size=24
check "a last step that blows up is noticed" test $status = 1 -a ! -e "$dir/nan/model.safetensors"
run train --set output="$dir/other" --set train.epochs=1
cp -r "$dir/train" "$dir/fewer"
rm "$dir"/fewer/*/*[0-4].png
fails "data that has shrunk does not resume" 2 "data.train" \
    train --set output="$dir/other" --set train.epochs=2 --set data.train="$dir/fewer"
cp -r "$dir/train" "$dir/moved"
run train --set output="$dir/other" --set train.epochs=2 --set data.train="$dir/moved"
check "data that has moved does" test $status = 0 -a "$(wc -l <"$dir/other/log.jsonl")" = 2
mv "$dir/moved/class0" "$dir/moved/other"
fails "other classes do not" 2 'data.train: label 0 is class "class1"; in the run in .* it was "class0"' \
    train --set output="$dir/other" --set train.epochs=3 --set data.train="$dir/moved" --set data.val=null
# Names that are not UTF-8: of the folder of the data, and of a class.
latin=$dir/$(printf 'caf\351')
cp -r "$dir/train" "$latin"
mv "$latin/class0" "$latin/$(printf 'a\351')"
latin=(--set output="$dir/latin" --set data.train="$latin" --set train.init="$latin.safetensors" --set data.val=null)
cp "$dir/old/model.safetensors" "$dir/$(printf 'caf\351.safetensors')"
run train "${latin[@]}" --set train.epochs=1
for file in model last; do # UTF-8 is what follows the 8 bytes of the header's length
    check "the header of $file.safetensors is UTF-8 all the same" iconv -f UTF-8 -t UTF-8 -o /dev/null \
        <(tail -c +9 "$dir/latin/$file.safetensors" | head -c "$(od -An -tu8 -N8 "$dir/latin/$file.safetensors")")
done
run train "${latin[@]}" --set train.epochs=2
check "and the run goes on" test $status = 0 -a "$(wc -l <"$dir/latin/log.jsonl")" = 2

# What would be.
rm -r "$dir/run"
run train --dry-run
check "--dry-run" test $status = 0 -a -n "$out"
check "--dry-run trains nothing" test ! -e "$dir/run/model.safetensors"
run train --dry-run --json
check "--dry-run --json" test $status = 0 -a "${out:0:1}" = "{"
finish
