#!/usr/bin/env bash
# pack: training and evaluation from a pack are those from the folder, to the bit; what is damaged is
# named; and what is refused.
. tests/cli/lib.sh
tiny_problem
config=$dir/tiny.json
train() { "$vitrain" --config "$config" --quiet "$@"; }
printf 'no picture' >"$dir/train/class1/007.png" # unreadable here and there
cp "$dir/train/class0/003.png" "$dir/train/class2/a name, with blanks.PNG"

for part in train val; do
    run "$vitrain" pack "$dir/$part" --output "$dir/$part.vtpack"
    check "pack $part" test $status = 0
done
check "it says what is in it" test "$out" = "$dir/val.vtpack: 18 samples of 3 classes, $(wc -c <"$dir/val.vtpack" | awk '{printf "%.1f", $1 / 1e6}') MB"
run "$vitrain" pack "$dir/train" --output "$dir/again.vtpack" --json --set train.threads=2 --set data.workers=0
check "pack --json" test "$status $(number n) $(number classes) $(number unreadable) $(number bytes)" = \
    "0 49 3 0 $(wc -c <"$dir/train.vtpack")"
check "packing again gives the same file" cmp "$dir/train.vtpack" "$dir/again.vtpack"
check "no temporary file is left" test -z "$(find "$dir" -name '*.tmp')"

# ---- the same run ----
same=(--set data.max_bad=0.1 --set data.repeated_aug=3 --set train.ema_decay=0.5)
run train "${same[@]}" --set output="$dir/folder_run"
check "a run from the folder" test $status = 0
run train "${same[@]}" --set output="$dir/pack_run" --set data.workers=3 \
    --set data.train="$dir/train.vtpack" --set data.val="$dir/val.vtpack"
check "a run from the pack" test $status = 0
check "the unreadable sample is named" grep -q "train.vtpack: class1/007.png: neither a PNG nor a JPEG" "$dir/.err"
for file in model model_ema; do # best.safetensors may be of any epoch, but is of the same one
    check "both end with the same $file.safetensors" cmp "$dir/folder_run/$file.safetensors" "$dir/pack_run/$file.safetensors"
done
check "and tell the same of each epoch" cmp \
    <(sed 's/"train_s".*//' "$dir/folder_run/log.jsonl") <(sed 's/"train_s".*//' "$dir/pack_run/log.jsonl")
weights=$dir/pack_run/model.safetensors
"$vitrain" eval --config "$config" --checkpoint "$weights" --json --quiet >"$dir/folder.json"
run "$vitrain" eval --config "$config" --checkpoint "$weights" --json --quiet --set data.val="$dir/val.vtpack"
check "eval too" cmp "$dir/folder.json" "$dir/.out"

# ---- as pixels ----
run "$vitrain" pack "$dir/val" --output "$dir/pixels.vtpack" --decoded 16 # evaluation's size here
check "pack --decoded" test $status = 0
run "$vitrain" eval --config "$config" --checkpoint "$weights" --json --quiet --set data.val="$dir/pixels.vtpack"
check "evaluation from pixels of its own size" cmp "$dir/folder.json" "$dir/.out"
small=("$dir/train" --decoded 9 --quiet --set data.max_bad=1)
run "$vitrain" pack "${small[@]}" --output "$dir/b.vtpack" --set data.interpolation=bilinear
run "$vitrain" pack "${small[@]}" --output "$dir/a.vtpack"
check "data.interpolation counts" test -n "$(cmp "$dir/a.vtpack" "$dir/b.vtpack")"
check "what cannot be decoded is told" grep -q "class1/007.png: neither.*packed as unreadable" "$dir/.err"
printf 'class2\nclass1\nother\nclass0\n' >"$dir/map"
run "$vitrain" pack "$dir/val" --output "$dir/mapped.vtpack" --json --set data.class_map="$dir/map"
check "data.class_map gives the classes" test "$(number classes)" = 4

mkdir "$dir/set"
cp -r "$dir/val" "$dir/set/Train"
cp -r "$dir/val" "$dir/set/val"
parts="set: takes its folders .Train, val. for the classes; .* give one of them: $dir/set/Train$"
run "$vitrain" pack "$dir/set" --output "$dir/set.vtpack" --quiet
check "a data set's parts are no classes" grep -q "$parts" "$dir/.err"
run train --set output="$dir/parts" --set data.train="$dir/set" --set data.val=null --set train.epochs=1
check "nor when training" grep -q "$parts" "$dir/.err"
mv "$dir/set/Train" "$dir/set/cat"
run "$vitrain" pack "$dir/set" --output "$dir/set.vtpack" --quiet
check "val may be one among others" test $status = 0 -a -z "$err"

# ---- damage ----
run "$vitrain" pack --check "$dir/train.vtpack"
check "--check of a sound pack" test "$status$out" = "0$dir/train.vtpack: all 49 samples are sound"
# The index begins at byte 24's number; an entry is 48 bytes, and begins with the sample's offset.
le64() { od -An -t u8 -j "$1" -N 8 "$dir/train.vtpack" | tr -d ' '; }
index=$(le64 24)
cp "$dir/train.vtpack" "$dir/bad.vtpack"
spoil() { printf '\xff\x00\xff' | dd of="$dir/bad.vtpack" bs=1 seek="$1" conv=notrunc status=none; }
spoil $(($(le64 $((index + 48 * 5))) + 40))
spoil $(($(le64 $((index + 48 * 40))) + 90))
run "$vitrain" pack --check "$dir/bad.vtpack"
check "--check names what is damaged" test "$status $out" = \
    "1 $dir/bad.vtpack: class0/005.png
$dir/bad.vtpack: class2/008.png"
check "and counts it" grep -q "bad.vtpack: 2 of 49 samples are damaged" "$dir/.err"
run "$vitrain" pack --check "$dir/bad.vtpack" --json
check "--check --json" test "$status" = 1 -a "$(grep -o 'class[02]/00[58].png' <<<"$out" | wc -l)" = 2
run train --set output="$dir/bad_run" --set data.train="$dir/bad.vtpack" --set data.max_bad=0.1
check "the rest can be trained on" test $status = 0
check "with a warning for each damaged one" test "$(grep -c "damaged in the pack" "$dir/.err")" = 2
check "which are counted" grep -q '"bad_samples": *3[,}]' "$dir/bad_run/log.jsonl"

refused() { # name, pattern, bytes to keep or "", byte to spoil or ""
    cp "$dir/train.vtpack" "$dir/bad.vtpack"
    if [ -n "$3" ]; then truncate -s "$3" "$dir/bad.vtpack"; fi
    if [ -n "$4" ]; then spoil "$4"; fi
    fails "$1" 1 "bad.vtpack: $2" train --set output="$dir/none" --set data.train="$dir/bad.vtpack"
}
size=$(wc -c <"$dir/train.vtpack")
refused "a damaged magic" "not a pack" "" 0
refused "another version" "expected a pack of version 1" "" 8
refused "a damaged header" "the header is damaged" "" 20
refused "a damaged index" "the index is damaged" "" $((index + 100))
refused "damaged names" "the names are damaged" "" $((size - 20))
refused "a pack without its end" "truncated" $((size - 1)) ""
refused "a pack without its index" "truncated" "$index" ""
refused "a stub" "truncated" 10 ""
refused "an empty file" "truncated" 0 ""
check "no run was begun" test ! -e "$dir/none/last.safetensors"

# ---- what is refused ----
pack() { "$vitrain" pack "$@"; }
fails "no source" 2 "pack needs SOURCE" pack --output "$dir/x"
fails "no output" 2 "pack needs --output FILE" pack "$dir/train"
fails "--check with an output" 2 "no other option" pack --check "$dir/train.vtpack" --output "$dir/x"
fails "--check of a folder" 1 "train: not a regular file" pack --check "$dir/train"
fails "a size that is none" 2 "--decoded: expected a whole number from 1 to 65536, got \"0\"" \
    pack "$dir/train" --output "$dir/x" --decoded 0
fails "a size behind a blank" 2 "--decoded: expected .*got \" 8\"" \
    pack "$dir/train" --output "$dir/x" --decoded " 8"
fails "a source that is not there" 1 "nowhere" pack "$dir/nowhere" --output "$dir/x"
fails "a class that is not in the map" 1 "strange.*klass" \
    pack "$(mkdir "$dir/strange" && cp -r "$dir/val/class0" "$dir/strange/klass" && echo "$dir/strange")" \
    --output "$dir/x" --set data.class_map="$dir/map"
fails "an output that cannot be written" 1 "tiny.json/x" pack "$dir/val" --output "$config/x"
fails "an output that is a folder" 1 "val: cannot write: not a regular file" pack "$dir/val" --output "$dir/val"
limited() { (trap '' XFSZ && ulimit -f 8 && pack "$dir/train" --output "$dir/limited"); } # KiB
fails "a file that cannot grow" 1 "limited: cannot write: File too large" limited
check "nothing is left of it" test -z "$(find "$dir" -name 'limited*')"
cp "$dir/val.vtpack" "$dir/kept.vtpack"
fails "too many unreadable" 1 "1 of 49 samples are unreadable, .*data.max_bad" \
    pack "$dir/train" --output "$dir/kept.vtpack" --decoded 8 --quiet --set data.max_bad=0.001
check "the old file is kept" cmp "$dir/val.vtpack" "$dir/kept.vtpack"
finish
