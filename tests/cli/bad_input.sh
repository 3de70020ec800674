#!/usr/bin/env bash
# Wrong input: one clear line on stderr that names the place, exit status 1 or 2, and every file that
# was there is as it was.
. tests/cli/lib.sh
tiny_problem
config=$dir/tiny.json run=$dir/run
train() { "$vitrain" --config "$config" --quiet "$@"; }
run train --set train.epochs=1
weights=$run/model.safetensors

state() { find "$run" "$dir/train" "$dir/val" -type f -exec cksum {} + | sort; }
before=$(state)
refused() { # as `fails`, and nothing has changed
    fails "$@"
    if [ "$(state)" != "$before" ]; then fail "$1: files changed"; fi
}

# ---- pictures ----
predict() { "$vitrain" predict "$weights" --config "$config" "$1"; }
picture=$dir/val/class0/000.png
: >"$dir/empty.png"
head -c 300 "$picture" >"$dir/short.png"
echo "no picture at all" >"$dir/text.png"
refused "missing picture" 1 "nowhere.png" predict "$dir/nowhere.png"
refused "empty picture" 1 "empty.png" predict "$dir/empty.png"
refused "truncated picture" 1 "short.png" predict "$dir/short.png"
refused "a text as picture" 1 "text.png" predict "$dir/text.png"

# ---- image folders ----
mkdir -p "$dir/no_classes" "$dir/hollow"
cp -r "$dir/train/." "$dir/hollow" && mkdir "$dir/hollow/class3"
cp -r "$dir/val" "$dir/strange" && cp -r "$dir/val/class0" "$dir/strange/klass"
new=(--set output="$dir/new")
refused "data.train that is not there" 1 "nowhere" train "${new[@]}" --set data.train="$dir/nowhere"
refused "a folder without classes" 1 "no_classes" train "${new[@]}" --set data.train="$dir/no_classes"
mkdir "$dir/single" && cp -r "$dir/train/class0" "$dir/single"
run "$vitrain" --config "$config" "${new[@]}" --set data.train="$dir/single" --set data.val=null --dry-run
check "one class: a warning" test $status = 0 -a \
    "$(grep -cxF "warning: $dir/single: one class only, so there is nothing to learn to tell apart" "$dir/.err")" = 1
refused "an empty class" 1 "hollow.*class3" train "${new[@]}" --set data.train="$dir/hollow"
refused "a val class unknown to train" 1 "strange.*klass" train "${new[@]}" --set data.val="$dir/strange"
check "no run was begun" test ! -e "$dir/new/last.safetensors"

# ---- IDX: 2 images of 4x4 px ----
header='\0\0\010\003\0\0\0\002\0\0\0\004\0\0\0\004'
# shellcheck disable=SC2059 # the headers are printf's escapes
idx() { # images header, image bytes, labels header, label bytes
    mkdir -p "$dir/idx"
    { printf "$1"; head -c "$2" /dev/zero; } >"$dir/idx/train-images-idx3-ubyte"
    { printf "$3"; head -c "$4" /dev/zero; } >"$dir/idx/train-labels-idx1-ubyte"
}
labels='\0\0\010\001\0\0\0\002'
idx_train() {
    train "${new[@]}" --set data.format=idx --set data.val=null \
        --set data.train="$dir/idx/train-images-idx3-ubyte"
}
idx "${header/003/002}" 32 "$labels" 2
refused "IDX with a wrong magic number" 1 "train-images-idx3.*0x00000803.*0x00000802" idx_train
idx "$header" 31 "$labels" 2
refused "IDX with too few bytes" 1 "train-images-idx3" idx_train
idx "$header" 33 "$labels" 2
refused "IDX with trailing garbage" 1 "train-images-idx3" idx_train
idx "$header" 32 "${labels/002/003}" 3
refused "IDX with another number of labels" 1 "train-labels-idx1" idx_train
idx "$header" 32 "$labels" 3
refused "IDX labels with trailing garbage" 1 "train-labels-idx1" idx_train
rm "$dir/idx/train-labels-idx1-ubyte"
refused "IDX without labels" 1 "train-labels-idx1" idx_train

# ---- configurations ----
edited() { # name, pattern, sed script
    sed "$3" "$config" >"$dir/edited.json"
    refused "$1" 2 "$2" "$vitrain" --config "$dir/edited.json" --quiet
}
edited "JSON: a comma too many" "edited.json:[0-9]+:[0-9]+: " 's/"batch_size": 8,/"batch_size": 8,,/'
edited "JSON: cut off" "edited.json:[0-9]+:[0-9]+: " '$d'
edited "JSON: a duplicate key" "edited.json:9:[0-9]+: " 's/"epochs": 3/"epochs": 3, "epochs": 4/'
edited "wrong type" "train.epochs.*\"three\"|train.epochs.*string" 's/"epochs": 3/"epochs": "three"/'
edited "out of range" "mix.smoothing.*1\.5" 's/"smoothing": 0.1/"smoothing": 1.5/'
edited "not a whole number" "train.epochs.*2\.5" 's/"epochs": 3/"epochs": 2.5/'
edited "unknown key" "mix.smoothign.*mix.smoothing" 's/"smoothing"/"smoothign"/'
edited "unknown section" "optimm.*optim" 's/"optim"/"optimm"/'
edited "unknown rule" "label.rule.*tl-align.*tl-algin" 's/tl-align/tl-algin/'
edited "unknown model" "model.name.*deit_tiny_patch16_224.*deit_tiny_patch16_242" 's/"vit"/"deit_tiny_patch16_242"/'
edited "patches that do not divide the image" "model.*patch_size.*5.*16|model.image_size.*16.*5" 's/"patch_size": 8/"patch_size": 5/'
edited "heads that do not divide the width" "model.num_heads.*3.*16" 's/"num_heads": 2/"num_heads": 3/'
edited "avg with distilled" "model.*avg.*distilled" 's/"depth": 2/"depth": 2, "pool": "avg", "distilled": true/'
refused "a configuration that is not there" 1 "nowhere.json" "$vitrain" --config "$dir/nowhere.json"
refused "--set of an unknown key" 2 "optim.lrr.*optim.lr" train --set optim.lrr=1
refused "--set without a value" 2 "optim.lr" train --set optim.lr

# ---- weights ----
evaluate() { "$vitrain" eval --config "$config" --quiet --checkpoint "$@"; }
size=$(wc -c <"$weights")
head -c $((size - 100)) "$weights" >"$dir/short.safetensors"
head -c 20 "$weights" >"$dir/stub.safetensors"
{ cat "$weights"; echo more; } >"$dir/long.safetensors"
LC_ALL=C sed 's/\("head.bias": *{"dtype": *"\)F32/\1I32/' "$weights" >"$dir/dtype.safetensors"
cmp -s "$weights" "$dir/dtype.safetensors" && fail "material: dtype.safetensors"
LC_ALL=C sed 's/"head.bias"/"head.bibs"/' "$weights" >"$dir/name.safetensors"
refused "weights that are not there" 1 "nowhere" evaluate "$dir/nowhere"
refused "truncated weights" 1 "short.safetensors" evaluate "$dir/short.safetensors"
refused "weights cut within the header" 1 "stub.safetensors" evaluate "$dir/stub.safetensors"
refused "weights with trailing garbage" 1 "long.safetensors" evaluate "$dir/long.safetensors"
refused "weights of another dtype" 1 "dtype.safetensors.*head.bias.*F32.*I32" evaluate "$dir/dtype.safetensors"
refused "a tensor that is missing" 1 "name.safetensors.*head.bi" evaluate "$dir/name.safetensors"
refused "weights of another shape" 1 "blocks.0.mlp.fc1.*32.*48|blocks.0.mlp.fc1.*48.*32" \
    evaluate "$weights" --set model.mlp_ratio=3
refused "a picture as weights" 1 "000.png" evaluate "$picture"
refused "weights as train.init of another shape" 1 "model.safetensors.*blocks.0.mlp.fc1" \
    train "${new[@]}" --set train.init="$weights" --set model.mlp_ratio=3
refused "data.val that is missing" 2 "data.val" evaluate "$weights" --set data.val=null
refused "a batch larger than the data" 1 "48 samples are fewer than a batch of 49; set train.batch_size to 48 or less" \
    train "${new[@]}" --set train.batch_size=49
refused "a step larger than the data" 2 "train.accumulate: expected at most the 6 batches .*, got 7; a smaller train.batch_size" \
    train "${new[@]}" --set train.accumulate=7
check "still no run was begun" test ! -e "$dir/new/last.safetensors"

# ---- a run that cannot go on ----
cp -r "$run" "$dir/broken"
head -c 3000 "$run/last.safetensors" >"$dir/broken/last.safetensors"
sum=$(cat "$dir"/broken/* | cksum)
refused "a truncated last.safetensors" 1 "broken/last.safetensors" train --set output="$dir/broken" --set train.epochs=2
check "the broken run is as it was" test "$(cat "$dir"/broken/* | cksum)" = "$sum"
refused "an output under a file" 1 "tiny.json" train --set output="$config/run"
refused "an output in /proc" 1 "/proc/run" train --set output=/proc/run

# ---- one bad picture among many ----
many=$dir/many
"$material" images "$many" 3 40 20
cp "$dir/short.png" "$many/class1/007.png"
run "$vitrain" --config "$config" --set data.train="$many" "${new[@]}" --set train.epochs=1
check "one of 120: training goes on" test $status = 0
check "one warning with its path" test "$(grep -c "many/class1/007.png" "$dir/.err")" = 1
check "and at the end of the epoch" grep -q "^epoch 1/1 .* 1 unreadable sample$" "$dir/.err"
check "the summary counts it" grep -qE '"(bad|n_bad|bad_samples|unreadable)": *1[,}]' "$dir/new/log.jsonl"
for i in 001 002 003; do cp "$dir/short.png" "$many/class2/$i.png"; done
rm -r "$dir/new"
run "$vitrain" --config "$config" --set data.train="$many" "${new[@]}" --set train.epochs=1
check "four of 120 are too many" test $status = 1
check "the message says so" grep -q "^vitrain: .*unreadable.*0.01 that data.max_bad" "$dir/.err"
run "$vitrain" --config "$config" --set data.train="$many" "${new[@]}" --set train.epochs=1 --set data.max_bad=0.1
check "unless data.max_bad allows them" test $status = 0

for i in $(seq 10 21); do cp "$dir/short.png" "$many/class0/0$i.png"; done
cp -r "$many" "$dir/many_val"
run "$vitrain" --config "$config" --set data.train="$many" --set data.val="$dir/many_val" --set output="$dir/flood" \
    --set train.epochs=2 --set train.accumulate=1 --set data.max_bad=0.5
check "sixteen of 120: ten warnings for each of training and validation" \
    test $status = 0 -a "$(grep -c "^warning: .*\.png: .*another sample takes" "$dir/.err")" = 10 -a \
    "$(grep -c "^warning: .*\.png: .*left out" "$dir/.err")" = 10
check "and the number of the others, once" \
    test "$(grep -c "^warning: $many: 6 more unreadable samples (others take their places)" "$dir/.err")" = 1 -a \
    "$(grep -c "^warning: $dir/many_val: 6 more unreadable samples (left out)" "$dir/.err")" = 1
rm -r "$dir/many_val"
for i in $(seq 10 21); do cp "$many/class0/030.png" "$many/class0/0$i.png"; done

# ---- folders that are odd ----
mkdir "$many/class0/closed" && cp "$many/class0/003.png" "$many/class0/closed"
ln -s loop.png "$many/class0/loop.png"
ln -s .. "$many/class1/up"
cp "$many/class0/004.png" "$many/class1/$(printf 'caf\351 \033.jpg')"
touch "$many"/class0/{a.webp,b.WebP,c.gif,README,.hidden.bmp} "$many/class2/d.webp"
rm -r "$dir/new"
run "$vitrain" --config "$config" --set data.train="$many" "${new[@]}" --set train.epochs=1 \
    --set data.max_bad=0.1 --set schedule.warmup_epochs=0 --set train.batch_size=3 --set train.accumulate=1 # all 123 of them
check "links in circles, names in any encoding, another extension: training goes on" test $status = 0
check "a link that leads nowhere is one bad sample more" grep -qE '"bad_samples": *5[,}]' "$dir/new/log.jsonl"
check "with its path" grep -q "^warning: .*class0/loop.png.*links" "$dir/.err"
check "files of other types are counted" grep -qxF "$many: 5 files of other types left out (.webp, .gif, none)" "$dir/.err"
check "images and classes are told" grep -qxF "123 training images of 3 classes (class0, class1, class2), 18 for validation" "$dir/.err"
check "and nothing else is bad" test "$(grep -c "^warning: " "$dir/.err")" = 5
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then # root reads everything
    chmod -R a+rX "$dir" && chmod 0 "$many/class0/closed"
    user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
    own=$(mktemp -d) && chmod 777 "$own"
    run user "$vitrain" --config "$config" --set data.train="$many" --set output="$own/run" \
        --set train.epochs=1 --set data.max_bad=0.1
    check "a folder that cannot be read is left out" test $status = 0
    check "with a warning" grep -q "^warning: .*class0/closed: .*Permission denied" "$dir/.err"
    chmod 755 "$many/class0/closed" && chmod 0 "$many/class2"
    fails "a class that cannot be read" 1 "class2: .*Permission denied" \
        user "$vitrain" --config "$config" --quiet --set data.train="$many" --set output="$own/none"
    chmod 755 "$many/class2"
    rm -rf "$own"
else
    skip "folders that cannot be read: not root, or no setpriv"
fi

# ---- numbers that are not finite ----
rm -r "$dir/new"
run train "${new[@]}" --set optim.name=sgd --set optim.lr=1e30 --set train.epochs=9
check "a loss that is not finite stops the run" test $status = 1
check "and a tensor is named" grep -qE "blocks|head|norm|token|embed" "$dir/.err"
check "and what may help" grep -q "a lower optim.lr or optim.clip_norm, with another output" "$dir/.err"
finish
