#!/usr/bin/env bash
# Experiments: the plan, the runs, the table; that one which is killed anywhere comes to the same end,
# and that a run of another definition is not taken for one of this.
. tests/cli/lib.sh
tiny_problem
# One thread: the order of sums, and so the last bits, depend on their number, which --jobs divides.
cat >"$dir/e.json" <<END
{
  "title": "Two rules",
  "base": "tiny.json",
  "set": {"mix.mixup": 0, "train.threads": 1},
  "arms": {
    "CutMix area": {"set": {"label.rule": "area"}, "seeds": [3, 7]},
    "TL-Align": {"set": {"label": {"rule": "tl-align"}}}
  },
  "seeds": 2,
  "output": "$dir/e"
}
END
sed 's/"seeds": 2/"seeds": [3, 7]/' "$dir/e.json" >"$dir/both.json"
experiment() { "$vitrain" experiment "$dir/both.json" --quiet "$@"; }
field() { # key: its values in experiment.json, one a line
    sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}$/\1/p" "$dir/e/experiment.json"
}

# ---- the plan ----
run experiment --dry-run
check "--dry-run" test $status = 0
check "it tells every run" test "$(grep -c 'not begun$' "$dir/.out")" = 4
check "in turns" test "$(grep -o 'seed [37] *[CT]' "$dir/.out" | tr -d ' ' | tr '\n' ' ')" = \
    "seed3C seed3T seed7C seed7T "
check "and what it takes" grep -qE "^time +about [0-9.e+-]+ (s|min|h) for the 4 runs left, 1 at a time" "$dir/.out"
check "in memory, too" grep -qE "^memory +[0-9.]+ MiB" "$dir/.out"
check "it trains nothing" test ! -e "$dir/e/TL-Align/seed3" -a ! -e "$dir/e/table.md"
run experiment --dry-run --json --jobs 2
check "--dry-run --json" test $status = 0 -a "$(number jobs)" = 2
check "with the time" holds "$(number remaining_s) > 0"
run "$vitrain" experiment "$dir/e.json" --dry-run --json
check "a number of seeds is the first ones" test "$(grep -o '"seed": [0-9]*' <<<"$out" | tr -dc '0-9\n' | tr '\n' ' ')" = \
    "3 0 7 1 "

# ---- all of it ----
run experiment
check "an experiment" test $status = 0
check "its table on stdout is table.md" cmp "$dir/.out" "$dir/e/table.md"
check "experiment.json says what was asked for, as it was" test "$(field definition)$(field output)" = "\"$dir/both.json\"\"$dir/e\""
check "with a row for each arm" test "$(grep -cE '^\| (CutMix area|TL-Align) +\| 2 ' "$dir/e/table.md")" = 2
check "all runs are finished" test "$(field state | sort | uniq -c | tr -d ' ')" = '4"finished"'
check "experiment.json is finished" test "$(field finished)" = true
for run in CutMix-area/seed3 CutMix-area/seed7 TL-Align/seed3 TL-Align/seed7; do
    check "$run: its accuracy is the last epoch's" grep -q "$(
        tail -n 1 "$dir/e/$run/log.jsonl" | grep -o '"test_acc1": [0-9.]*' | sed 's/test_//')" \
        <(grep -A 6 "\"path\": \"$run\"" "$dir/e/experiment.json")
done
run experiment --table --json
check "--table --json prints experiment.json" test "$status" = 0 -a "$(tr -d ' \n' <<<"$out")" = \
    "$(tr -d ' \n' <"$dir/e/experiment.json")"
sums() { cat "$dir"/e/*/seed*/{model.safetensors,log.jsonl,steps.jsonl} | cksum; }
before=$(sums)
run experiment
check "started again it tells the same" test $status = 0 -a "$(sums)" = "$before"
check "and the same table" cmp "$dir/.out" "$dir/e/table.md"
run "$vitrain" --config "$dir/e/TL-Align/config.json" --quiet
check "an arm's config.json is its first run's" test $status = 0 -a "$(grep -c finished "$dir/.out")" = 1
mv "$dir/e" "$dir/whole"

run experiment --jobs 2
check "two at a time" test $status = 0
check "the same table" cmp "$dir/e/table.md" "$dir/whole/table.md"
for run in CutMix-area/seed3 TL-Align/seed7; do
    check "the same $run" cmp "$dir/e/$run/model.safetensors" "$dir/whole/$run/model.safetensors"
done

# ---- the same seed: the same beginning, the same order, the same boxes ----
# Without mixing the rules have nothing to do, so only what else is drawn could tell the arms apart.
run experiment --output "$dir/plain" --set mix.prob=0
check "without mixing both arms are the same to the bit" \
    cmp "$dir/plain/CutMix-area/seed3/model.safetensors" "$dir/plain/TL-Align/seed3/model.safetensors"
check "with mixing they are not" test -n "$(
    cmp "$dir/e/CutMix-area/seed3/model.safetensors" "$dir/e/TL-Align/seed3/model.safetensors")"
check "nor are two seeds" test -n "$(
    cmp "$dir/plain/TL-Align/seed3/model.safetensors" "$dir/plain/TL-Align/seed7/model.safetensors")"
for rule in area tl-align transmix; do
    run "$vitrain" --config "$dir/tiny.json" --quiet --dry-run --set label.rule=$rule --set train.seed=3 \
        --set output="$dir/$rule"
done
check "the first batch is mixed alike under every rule" cmp "$dir/area/first_batch.png" "$dir/tl-align/first_batch.png"
check "TransMix's, too" cmp "$dir/area/first_batch.png" "$dir/transmix/first_batch.png"

# ---- another definition ----
fails "another schedule is refused" 2 'arm "CutMix area", seed 3: train.epochs: differs' experiment --set train.epochs=4
fails "another rate" 2 'optim.lr: differs' experiment --set optim.lr=0.01
fails "for the table, too" 2 'schedule.min_lr: differs' experiment --table --set schedule.min_lr=0
sed -i 's/"tl-align"/"area"/' "$dir/both.json"
fails "another rule of one arm names that arm" 2 'arm "TL-Align", seed 3: label.rule: differs' experiment
sed -i 's/"label": {"rule": "area"}/"label": {"rule": "tl-align"}/' "$dir/both.json"
run experiment --set data.workers=0
check "what changes no result is none" test $status = 0
run experiment --set data.train="$dir/nowhere"
check "nor is where the data lies" test $status = 0

# ---- logs alone ----
table=$(cat "$dir/e/table.md")
find "$dir/e" -name '*.safetensors' -delete
run experiment
check "of finished runs the logs are enough" test $status = 0 -a "$out" = "$table"
check "nothing is trained again" test -z "$(find "$dir/e" -name '*.safetensors')"
fails "their definition counts all the same" 2 'optim.lr: differs' experiment --table --set optim.lr=0.01
sed -i '$d' "$dir/e/TL-Align/seed7/log.jsonl"
run experiment --table --json
check "a log that ends early is no finished run" test $status = 0 -a "$(field state | grep -c finished)" = 3

# ---- killed ----
long=(--set train.epochs=60)
rm -rf "$dir/e"
run experiment "${long[@]}"
check "a longer one" test $status = 0
rm -rf "$dir/whole"
mv "$dir/e" "$dir/whole"
epochs() { cat "$dir"/e/*/seed*/log.jsonl 2>/dev/null | wc -l; }
stopped() { # signal, epochs, options...: starts it, sends the signal once so much is done
    local signal=$1 most=$2
    shift 2
    "$vitrain" experiment "$dir/both.json" --quiet "${long[@]}" "$@" >"$dir/.out" 2>"$dir/.err" &
    for _ in $(seq 3000); do
        if [ "$(epochs)" -ge "$most" ]; then break; fi
        sleep 0.01
    done
    kill "-$signal" $!
    wait $! 2>/dev/null
    status=$?
}
same_as_whole() { # name
    check "$1: the same table" cmp "$dir/e/table.md" "$dir/whole/table.md"
    local run
    for run in CutMix-area/seed3 CutMix-area/seed7 TL-Align/seed3 TL-Align/seed7; do
        check "$1: the same $run" cmp "$dir/e/$run/model.safetensors" "$dir/whole/$run/model.safetensors"
    done
}
stopped KILL 90
check "SIGKILL in the middle" test $status = 137 -a "$(epochs)" -lt 240
run experiment "${long[@]}"
check "it goes on" test $status = 0
same_as_whole "after SIGKILL"

rm -rf "$dir/e"
stopped INT 5
check "SIGINT in the first run: exit 130" test $status = 130 -a "$(epochs)" -lt 120
check "the table is written, and says what is missing" grep -q "4 of 4 runs are not finished" "$dir/e/table.md"
check "the run left a state" test -s "$dir/e/CutMix-area/seed3/last.safetensors"
run experiment --dry-run "${long[@]}"
check "--dry-run tells how far it is" grep -qE "seed 3 +CutMix area +at epoch [1-9][0-9]* of 60" "$dir/.out"
stopped TERM 130 --jobs 2
check "SIGTERM with two at a time" test $status = 130 -a "$(epochs)" -lt 240
run experiment "${long[@]}" --jobs 2
check "it goes on, two at a time" test $status = 0
same_as_whole "after both"

# A folder that cannot be written: the run under way is stopped in good order, not killed.
cat >"$dir/uneven.json" <<END
{
  "base": "tiny.json", "arms": {"short": {}, "long": {"set": {"train.epochs": 100000}}}, "seeds": 1,
  "output": "$dir/uneven"
}
END
mkdir -p "$dir/uneven/table.md"
run "$vitrain" experiment "$dir/uneven.json" --quiet --jobs 2
check "a table that cannot be written ends the session" test $status = 1
check "when the other run has left its state" grep -q 'vitrain: interrupted in epoch' "$dir/uneven/long/seed0/messages.txt"

cat >"$dir/threads.json" <<END
{
  "base": "tiny.json", "arms": {"four": {"set": {"train.threads": 4}}, "two": {"set": {"train.threads": 2}}},
  "seeds": 1, "output": "$dir/threads"
}
END
run "$vitrain" experiment "$dir/threads.json" --quiet --jobs 2
check "jobs divide each arm's own threads" test $status = 0 -a \
    "$(cat "$dir"/threads/{four,two}/seed0/config.json | grep -o '"threads": *[0-9]*' | tr -dc '0-9\n' | tr '\n' ' ')" = "2 1 "

# Whoever starts it may ignore the end of children.
run timeout 100 env --ignore-signal=CHLD "$vitrain" experiment "$dir/both.json" --quiet --output "$dir/ignored"
check "with SIGCHLD ignored it ends all the same" test $status = 0

# ---- a run that fails ----
cat >"$dir/bad.json" <<END
{
  "base": "tiny.json",
  "arms": {"good": {}, "bad": {"set": {"train.init": "nothing.safetensors"}}, "fine": {"set": {"mix.prob": 0}}},
  "seeds": 1, "output": "$dir/bad"
}
END
fails "a dry run tells which arm cannot run" 1 "1 of 3 arms cannot run; the first: bad: .*nothing.safetensors" \
    "$vitrain" experiment "$dir/bad.json" --dry-run --quiet
run "$vitrain" experiment "$dir/bad.json" --quiet
check "a failed run: exit 1" test $status = 1
check "with its error" grep -q "1 of 3 runs failed; the first: bad, seed 0: .*nothing.safetensors: cannot open" "$dir/.err"
check "the others are done" test "$(grep -cE '^\| (good|fine) +\| 1 ' "$dir/bad/table.md")" = 2
check "the table has the error, too" grep -q "^- bad, seed 0: .*nothing.safetensors" "$dir/bad/table.md"
check "one seed: it says so" grep -q "one seed in common: no interval" "$dir/bad/table.md"
check "experiment.json has it" grep -q '"error": ".*nothing.safetensors' "$dir/bad/experiment.json"
cp "$dir/whole/TL-Align/seed3/model.safetensors" "$dir/nothing.safetensors"
run "$vitrain" experiment "$dir/bad.json" --quiet
check "once it can, it is made good" test $status = 0 -a "$(grep -c '^- bad' "$dir/bad/table.md")" = 0

cat >"$dir/rules.json" <<END
{
  "base": "tiny.json", "set": {"model.pool": "avg"},
  "arms": {"area": {"set": {"label.rule": "area"}}, "transmix": {"set": {"label.rule": "transmix"}},
           "tl-align": {}},
  "seeds": 1, "output": "$dir/rules"
}
END
fails "also arms that cost what another one does" 1 "1 of 3 arms cannot run; the first: transmix: label.rule: transmix" \
    "$vitrain" experiment "$dir/rules.json" --dry-run --quiet
check "and no other one" test "$(grep -c 'cannot run' "$dir/.out")" = 1

# ---- damaged files ----
cp "$dir/bad/good/seed0/log.jsonl" "$dir/good.jsonl"
sed -i '$s/.*/{"epoch": 2, "test_acc1": 9#/' "$dir/bad/good/seed0/log.jsonl"
run "$vitrain" experiment "$dir/bad.json" --table
check "a damaged log fails its run alone" grep -q "^- good, seed 0: log.jsonl lacks test_acc1 of epoch 3; without the folder $dir/bad/good/seed0 " "$dir/.out"
check "the others are in the table" test $status = 0 -a "$(grep -cE '^\| (bad|fine) +\| 1 ' "$dir/.out")" = 2
run "$vitrain" experiment "$dir/bad.json" --quiet
check "no session mends it" test $status = 1 -a "$(grep -c "1 of 3 runs failed; the first: good" "$dir/.err")" = 1
cp "$dir/good.jsonl" "$dir/bad/good/seed0/log.jsonl"
mv "$dir/bad/good/seed0/last.safetensors" "$dir/good.safetensors"
mv "$dir/bad/good/seed0/config.json" "$dir/good.config"
echo 'no json' >"$dir/bad/good/seed0/config.json"
run "$vitrain" experiment "$dir/bad.json" --table
check "so does a damaged configuration" test $status = 0 -a "$(grep -c '^- good, seed 0: .*config.json:1:1: .*; without the folder' "$dir/.out")" = 1
mv "$dir/good.safetensors" "$dir/bad/good/seed0/last.safetensors"
mv "$dir/good.config" "$dir/bad/good/seed0/config.json"
truncate -s 1000 "$dir/bad/fine/seed0/last.safetensors"
run "$vitrain" experiment "$dir/bad.json" --quiet
check "nor a damaged state" grep -q "1 of 3 runs failed; the first: fine, seed 0: .*last.safetensors: .*; without the folder" "$dir/.err"
rm -r "$dir/bad/fine/seed0"
run "$vitrain" experiment "$dir/bad.json" --quiet
check "without its folder it is made anew" test $status = 0

# ---- two at the same time ----
flock "$dir/bad/.lock" sleep 1 &
sleep 0.2
run "$vitrain" experiment "$dir/bad.json"
check "a second session waits for the first" test $status = 0 -a "$(grep -c 'waiting for' "$dir/.err")" = 1

flock "$dir/bad/.lock" sleep 1 &
sleep 0.2
rm "$dir/bad/table.md"
run "$vitrain" experiment "$dir/bad.json" --table
check "--table does not wait, and leaves the files to the other" test $status = 0 -a -n "$out" -a ! -e "$dir/bad/table.md"
wait
run "$vitrain" experiment "$dir/bad.json" --table
check "when there is none it writes them" cmp "$dir/.out" "$dir/bad/table.md"

# ---- what is wrong ----
refused() { # name, pattern, definition
    echo "$3" >"$dir/wrong.json"
    fails "$1" 2 "$2" "$vitrain" experiment "$dir/wrong.json" --quiet
}
arms='"arms": {"a": {}, "b": {}}'
refused "an unknown key" 'unknown key "arm"; did you mean "arms"' '{"base": "tiny.json", "arm": {}}'
refused "no base" 'base: missing' "{$arms}"
refused "no arms" 'expected arms, a grid or both' '{"base": "tiny.json"}'
refused "an unknown key of an arm" 'arms: "a": unknown key "sets"; did you mean "set"' \
    '{"base": "tiny.json", "arms": {"a": {"sets": {}}}}'
refused "an unknown configuration key" 'arm "a": unknown key "label.rul"; did you mean "label.rule"' \
    '{"base": "tiny.json", "arms": {"a": {"set": {"label.rul": "area"}}}}'
refused "a wrong value" 'arm "a": label.rule: expected .*got "are"' \
    '{"base": "tiny.json", "arms": {"a": {"set": {"label.rule": "are"}}}}'
refused "a seed in an arm" 'arms: "a": train.seed is for the experiment' \
    '{"base": "tiny.json", "arms": {"a": {"set": {"train.seed": 1}}}}'
refused "also as a section" 'arms: "a": train.seed is for the experiment' \
    '{"base": "tiny.json", "arms": {"a": {"set": {"train": {"seed": 1}}}}}'
refused "a baseline that is none" 'baseline: there is no arm "A"; did you mean "a"' \
    "{\"base\": \"tiny.json\", $arms, \"baseline\": \"A\"}"
refused "no seeds" ': seeds: expected a number of seeds.*got 0' "{\"base\": \"tiny.json\", $arms, \"seeds\": 0}"
refused "half a seed" 'expected integers >= 0, got 1.5' "{\"base\": \"tiny.json\", $arms, \"seeds\": [1.5]}"
refused "a seed twice" 'expected each seed once, got 4' "{\"base\": \"tiny.json\", $arms, \"seeds\": [4, 4]}"
refused "two arms of one folder" 'arms "a b" and "a/b" would have the same folder' \
    '{"base": "tiny.json", "arms": {"a b": {}, "a/b": {}}}'
refused "a name that is none" 'arms: expected a name of one line' '{"base": "tiny.json", "arms": {" ": {}}}'
refused "a name of two lines" 'arms: expected a name of one line' '{"base": "tiny.json", "arms": {"a\nb": {}}}'
refused "a title of two lines" 'title: expected a line of text' "{\"title\": \"a\\nb\", \"base\": \"tiny.json\", $arms}"
refused "an empty axis" 'grid: expected axes' '{"base": "tiny.json", "grid": {"label.rule": []}}'
refused "no validation data" 'arm "a": data.val: expected a path' \
    "{\"base\": \"tiny.json\", \"set\": {\"data.val\": null}, $arms}"
refused "no JSON" 'wrong.json:2:1: syntax error' '{'
fails "no definition" 1 "cannot open" "$vitrain" experiment "$dir/none.json"
fails "an output by --set" 2 "given by --output" experiment --set output=x
fails "a seed by --set" 2 "train.seed" experiment --set train.seed=1
fails "no jobs" 2 "jobs: expected a whole number from 1 to 64, got" experiment --jobs 0
fails "jobs behind a blank" 2 "jobs: expected .*got \" 2\"" experiment --jobs " 2"
fails "both of --dry-run and --table" 2 "exclude each other" experiment --dry-run --table

# ---- a grid ----
cat >"$dir/grid.json" <<END
{
  "base": "tiny.json", "arms": {"none": {"set": {"mix.prob": 0}}},
  "grid": {"label.rule": ["area", "tl-align"], "mixer": {"cutmix": {"mix.mixup": 0}, "both": {"mix": {"mixup": 0.8}}}},
  "seeds": 1, "output": "$dir/grid"
}
END
run "$vitrain" experiment "$dir/grid.json" --table --json
check "a grid is all combinations, beside the arms" test "$(grep -o '"name": "[^"]*"' <<<"$out" | cut -d'"' -f4 | tr '\n' ',')" = \
    "none,label.rule=area mixer=cutmix,label.rule=area mixer=both,label.rule=tl-align mixer=cutmix,label.rule=tl-align mixer=both,"
for file in configs/experiments/*.json; do
    run "$vitrain" experiment "$file" --table --output "$dir/shipped"
    check "$file is sound" test $status = 0
done

# ---- published results ----
# In a copy, without the data: there is nothing else on a machine that has just cloned this.
mkdir "$dir/clone"
cp -r configs "$dir/clone"
in_clone() { (cd "$dir/clone" && "$vitrain" "$@"); }
for folder in configs/experiments/results/*; do
    name=$(basename "$folder")
    run in_clone report "$folder"
    check "$folder: report makes its page" test $status = 0 -a "$(grep -c 'id="chart-accuracy"' "$dir/clone/$folder/report.html")" = 1
    rm "$dir/clone/$folder/experiment.json"
    run in_clone experiment "configs/experiments/$name.json" --table --output "$folder"
    check "$folder: the table is what the logs give" cmp "$dir/.out" "$folder/table.md"
    check "$folder: so is experiment.json" cmp "$dir/clone/$folder/experiment.json" "$folder/experiment.json"
done
finish
