#!/usr/bin/env bash
# A run's folder: one training at a time, nothing of an older run written over, and a state whatever signals
# come.
. tests/cli/lib.sh
tiny_problem
train() { "$vitrain" --config "$dir/tiny.json" --quiet "$@"; }
long=(--set train.epochs=1000)
lines() { if [ -e "$dir/run/log.jsonl" ]; then wc -l <"$dir/run/log.jsonl"; else echo 0; fi; }
begin() { # starts the long run, waits for an epoch
    "$vitrain" --config "$dir/tiny.json" --quiet "${long[@]}" >"$dir/.out" 2>"$dir/.first" &
    local before
    before=$(lines)
    for _ in $(seq 3000); do
        if [ "$(lines)" -gt "$before" ]; then break; fi
        sleep 0.01
    done
}

# ---- one at a time ----
begin
fails "a second training in the folder is refused" 1 "run: another vitrain is training in this folder" train
fails "also one that would begin anew" 1 "another vitrain is training" train --set train.resume=never
run train --dry-run
check "a dry run is not" test $status = 0

# ---- signals ----
kill -TERM $!
sleep 0.002
kill -TERM $! 2>/dev/null
wait $!
check "SIGTERM twice: exit 130" test $? = 130
check "with the state as of then" grep -q "interrupted in epoch" "$dir/.first"
count=$(lines)
run "$vitrain" --config "$dir/tiny.json" --set train.epochs=$((count + 3))
check "which goes on" test $status = 0 -a "$(lines)" = $((count + 3))
check "at epoch $((count + 1))" grep -q "resumed at epoch $((count + 1)), batch" "$dir/.err"

begin
kill -INT $!
wait $!
check "SIGINT: exit 130" test $? = 130
check "acknowledged" grep -q "Ctrl-C again ends at once" "$dir/.first"
begin
kill -HUP $!
wait $!
check "SIGHUP: exit 130" test $? = 130
check "with the state, too" grep -q "interrupted in epoch" "$dir/.first"
trap '' HUP # as nohup does
begin
trap - HUP
kill -HUP $!
sleep 0.1
check "an ignored one is" kill -TERM $!
wait $!

# ---- how far it goes ----
count=$(lines)
run train --set train.epochs=$((count + 1))
check "it ends" test $status = 0 -a "$(lines)" = $((count + 1))
run train --set train.epochs=1
check "with fewer epochs than there are nothing is done" grep -q "train.epochs: 1, and the run has $((count + 1)) behind it" "$dir/.err"
fails "a finished run has nothing to go on with elsewhere" 2 "train.resume: .*is finished after $((count + 1)) epochs" \
    train --set train.epochs=$((count + 1)) --set train.resume="$dir/run/last.safetensors" --set output="$dir/other"
run train --set train.epochs=2 --set schedule.warmup_epochs=2 --set output="$dir/warm"
check "a warm-up without an end is told" grep -q "schedule.warmup_epochs: 2 of 2 epochs" "$dir/.err"

# Time spent in an epoch before a stop counts.
"$material" images "$dir/large" 3 800 16
many=(--set data.train="$dir/large" --set train.batch_size=2 --set train.accumulate=1 --set train.epochs=1
    --set output="$dir/many")
"$vitrain" --config "$dir/tiny.json" --quiet "${many[@]}" >"$dir/.out" 2>"$dir/.err" &
for _ in $(seq 3000); do
    if [ -e "$dir/many/steps.jsonl" ] && [ "$(wc -l <"$dir/many/steps.jsonl")" -ge 10 ]; then break; fi
    sleep 0.01
done
kill -TERM $!
wait $!
check "stopped in an epoch" grep -q "interrupted in epoch 1 at batch [1-9]" "$dir/.err"
spent=$(head -c 100000 "$dir/many/last.safetensors" | grep -a -o 'train_s[^0-9]*[-+.e0-9]*' | sed 's/train_s[^0-9]*//')
run train "${many[@]}"
out=$(cat "$dir/many/log.jsonl")
check "the state knows what it took so far, and the log what it took in all" holds "0 < $spent && $spent < $(number train_s)"

# ---- pictures that cannot be read any more ----
cp -r "$dir/val" "$dir/gone"
for picture in "$dir"/gone/*/*; do : >"$picture"; done
late=(--set train.epochs=1 --set output="$dir/late")
run train "${late[@]}" --set data.val="$dir/gone"
check "no validation picture can be read: it fails" test $status = 1 -a ! -e "$dir/late/log.jsonl"
run "$vitrain" --config "$dir/tiny.json" "${late[@]}"
check "and goes on once they can" test $status = 0 -a "$(wc -l <"$dir/late/log.jsonl")" = 1
check "from the end of the epoch" grep -q "resumed at epoch 1, batch 6$" "$dir/.err"

# ---- nothing is written over ----
sum=$(cat "$dir/run"/{model.safetensors,log.jsonl} | cksum)
rm "$dir/run/last.safetensors"
fails "a folder whose state is gone is left alone" 2 "log.jsonl: is of a run that left no last.safetensors.*train.resume=never" train
rm "$dir/run/log.jsonl"
fails "one with weights, too" 2 "model.safetensors: is of a run" train
run train --set train.resume=never
check "unless it is asked for" test $status = 0 -a "$(lines)" = 3
check "then its files are the new run's" test "$(cat "$dir/run"/{model.safetensors,log.jsonl} | cksum)" != "$sum"
finish
