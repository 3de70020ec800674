#!/usr/bin/env bash
# DeiT's recipe around the model: averaged weights, repeated augmentation and the learning rate, and
# that a run stopped in the middle of an epoch goes on with all three as if nothing had been.
. tests/cli/lib.sh
tiny_problem
train() { "$vitrain" --config "$dir/tiny.json" --quiet "$@"; }
last_of() { tail -n 1 "$1/log.jsonl" | grep -o "\"$2\": *[-+.e0-9]*" | sed 's/.*: *//'; }
score() { # weights: "acc1 loss"
    run "$vitrain" eval --config "$dir/tiny.json" --checkpoint "$1" --json --quiet \
        --precision "$(precision_of "$dir/run")"
    echo "$(number acc1) $(number loss)"
}

# ---- averaged weights ----
run train --set train.ema_decay=0.8
check "a run with averaged weights" test $status = 0
for key in test_ema_acc1 test_ema_acc5 test_ema_loss; do
    check "log.jsonl has $key in each line" test "$(grep -c "\"$key\":" "$dir/run/log.jsonl")" = 3
done
check "model_ema.safetensors scores what the log says" test "$(score "$dir/run/model_ema.safetensors")" = \
    "$(last_of "$dir/run" test_ema_acc1) $(last_of "$dir/run" test_ema_loss)"
check "model.safetensors too, and otherwise" test "$(score "$dir/run/model.safetensors")" = \
    "$(last_of "$dir/run" test_acc1) $(last_of "$dir/run" test_loss)"
check "the two are different" test "$(last_of "$dir/run" test_loss)" != "$(last_of "$dir/run" test_ema_loss)"
run train --set output="$dir/plain"
check "the average changes nothing in the weights" cmp "$dir/run/model.safetensors" "$dir/plain/model.safetensors"
check "without it there is no file" test ! -e "$dir/plain/model_ema.safetensors"
check "and no key" test "$(grep -c test_ema "$dir/plain/log.jsonl")" = 0
run train --set output="$dir/plain" --set train.resume=never --set train.ema_decay=0.8
run train --set output="$dir/plain" --set train.resume=never --set train.epochs=1
check "nor is an old one left beside a new run" test ! -e "$dir/plain/model_ema.safetensors"
fails "another decay does not resume" 2 "train.ema_decay" train --set train.ema_decay=0.9 --set train.epochs=4

# One step: ema <- 0.75 ema + 0.25 w, from the initial weights, which a rate of 1e-12 leaves alone.
still=(--set optim.weight_decay=0 --set schedule.name=constant --set schedule.warmup_epochs=0 --set train.epochs=1)
run train --set output="$dir/zero" "${still[@]}" --set optim.lr=1e-12
run train --set output="$dir/ema" "${still[@]}" --set train.ema_decay=0.75 --set train.batch_size=24 \
    --set optim.lr=0.01
paste <("$material" print "$dir/zero/model.safetensors" norm.weight) \
    <("$material" print "$dir/ema/model.safetensors" norm.weight) \
    <("$material" print "$dir/ema/model_ema.safetensors" norm.weight) >"$dir/weights"
# shellcheck disable=SC2016 # awk's
check "one step: a quarter of the way" awk '
    { d = $3 - ($1 + 0.25 * ($2 - $1)); if (d * d > 1e-12 || $1 == $2) exit 1; n++ }
    END { exit n != 16 }' "$dir/weights"

# ---- repeated augmentation ----
run "$vitrain" --config "$dir/tiny.json" --set output="$dir/three" --set data.repeated_aug=3 --set train.epochs=1
check "repeated augmentation" test $status = 0
check "the log tells how many different images" test "$(last_of "$dir/three" distinct_images)" = 16
check "stderr too" grep -q "an epoch takes 16 images 3 times each: 48 samples" "$dir/.err"
check "without it: all" test "$(last_of "$dir/plain" distinct_images)" = 48
"$material" images "$dir/many" 3 100 8 # 300: an epoch is 256, of which 32 batches of 8
run train --set output="$dir/many_run" --set data.train="$dir/many" --set data.repeated_aug=3 --set train.epochs=1
check "an epoch is a multiple of 256" test $status = 0 -a "$(wc -l <"$dir/many_run/steps.jsonl")" = 16
check "of 86 images" test "$(last_of "$dir/many_run" distinct_images)" = 86
fails "another number of copies does not resume" 2 "data.repeated_aug" \
    train --set output="$dir/three" --set train.epochs=2

# ---- stopped in the middle of an epoch: 64 steps each, long beside what lies between two epochs ----
recipe=(--set train.batch_size=4 --set train.accumulate=1 --set train.epochs=16 --set train.ema_decay=0.9
    --set data.train="$dir/many" --set data.repeated_aug=3 --set schedule.warmup_epochs=5 --set output="$dir/run")
for compat in exact deit; do
    rm -rf "$dir/run" "$dir/whole"
    run train "${recipe[@]}" --set schedule.compat=$compat
    mv "$dir/run" "$dir/whole"
    stops=0 middle=0
    while [ $stops -lt 14 ] && [ $middle -lt 3 ]; do
        "$vitrain" --config "$dir/tiny.json" --quiet "${recipe[@]}" --set schedule.compat=$compat \
            >"$dir/.out" 2>"$dir/.err" &
        for _ in $(seq 1000); do
            if [ -e "$dir/run/steps.jsonl" ] && [ "$(wc -l <"$dir/run/steps.jsonl")" -gt $((40 + 60 * stops)) ]; then
                break
            fi
            sleep 0.01
        done
        kill -TERM $! 2>/dev/null
        wait $! 2>/dev/null
        stops=$((stops + 1))
        if grep -qE "interrupted in epoch [0-9]+ at batch ([1-9]|[1-5][0-9]|6[0-3]);" "$dir/.err"; then middle=$((middle + 1)); fi
    done
    check "$compat: stopped in the middle of three epochs" test $middle = 3
    run train "${recipe[@]}" --set schedule.compat=$compat
    check "$compat: it goes on to the end" test $status = 0
    check "$compat: with the rates, and losses, of an unbroken run" \
        cmp <(cut -d, -f1-4 "$dir/run/steps.jsonl") <(cut -d, -f1-4 "$dir/whole/steps.jsonl")
    for file in model model_ema last; do
        check "$compat: to the same $file.safetensors" cmp "$dir/run/$file.safetensors" "$dir/whole/$file.safetensors"
    done
done
# deit: 5 warm-up epochs from 1e-6 to 0.003, stepped after the epoch; the rate is an epoch's.
# shellcheck disable=SC2016
check "deit: the rates of the warm-up" awk -F'[:,]' '
    { e = $4; t = e > 0 ? e - 1 : 0; want = 1e-6 + t * (0.003 - 1e-6) / 5
      if (e < 6) { d = $8 / want - 1; if (d * d > 1e-20) exit 1; n++ } }
    END { exit n != 384 }' "$dir/whole/steps.jsonl"
finish
