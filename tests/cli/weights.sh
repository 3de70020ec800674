#!/usr/bin/env bash
# Weights that travel: into other types, into shards, from .pth and back; into models of another image
# size or number of classes; and CIFAR's binary files to tune them on.
. tests/cli/lib.sh
tiny_problem
config=$dir/tiny.json run=$dir/run
check "a model to work with" "$vitrain" --config "$config" --quiet --set train.epochs=12 --set mix.prob=0
weights=$run/model.safetensors
evaluate() { # weights, more arguments...
    local file=$1
    shift
    run "$vitrain" eval --config "$config" --checkpoint "$file" --json --quiet "$@"
}
evaluate "$weights"
acc=$(number acc1) loss=$(number loss)

# ---- convert ----
convert() { "$vitrain" convert "$weights" "$@"; }
for type in f32 f16 bf16; do
    check "convert --dtype $type" convert "$dir/$type.safetensors" --dtype $type
    evaluate "$dir/$type.safetensors"
    case $type in f32) most=0 ;; f16) most=1e-3 ;; bf16) most=1e-2 ;; esac
    check "$type: evaluates" test $status = 0 -a "$(number n)" = 18
    check "$type: its loss is $loss within $most" holds "($(number loss) - $loss) ^ 2 <= $most ^ 2"
    run "$vitrain" info "$dir/$type.safetensors"
    check "$type: info says so" test "$(grep -c " ${type^^} " <<<"$out")" = 32
done
bytes() { wc -c <"$1"; }
check "f16 is half as large" holds \
    "$(bytes "$dir/f16.safetensors") < 0.75 * $(bytes "$weights") && $(bytes "$dir/f16.safetensors") == $(bytes "$dir/bf16.safetensors") - 32"
check "convert without --dtype" convert "$dir/same.safetensors"
check "the same bytes" cmp "$weights" "$dir/same.safetensors"
check "and from f32" cmp "$weights" "$dir/f32.safetensors"
run "$vitrain" predict "$dir/f16.safetensors" "$dir/val/class1/000.png" # the shape came along
check "predict with f16 weights alone" test $status = 0 -a "$(sed -n 2p <<<"$out" | awk '{print $2}')" = class1

check "convert --shard-size" convert "$dir/many.safetensors" --dtype f16 --shard-size 3000
check "in thousands" convert "$dir/many.safetensors" --dtype f16 --shard-size 3kb
check "leaves shards" test -s "$dir/many-00001-of-00006.safetensors" -a ! -e "$dir/many.safetensors"
evaluate "$dir/many.safetensors.index.json"
check "they evaluate" test $status = 0 -a "$(number acc1)" = "$acc"
run "$vitrain" predict "$dir/many.safetensors.index.json" "$dir/val/class1/000.png"
check "predict with shards alone" test $status = 0
check "shards into one file" "$vitrain" convert "$dir/many.safetensors.index.json" "$dir/one.safetensors"
check "the same tensors" test "$("$vitrain" info "$dir/one.safetensors" | grep -c F16)" = 32
run "$vitrain" convert "$weights" "$dir/said.safetensors"
check "convert says what it wrote" test $status = 0 -a -z "$out" -a "$err" = "$dir/said.safetensors: 32 tensors, 0.0 MB"
run "$vitrain" convert "$weights" "$dir/said.safetensors" --shard-size 6000
check "shards too" test "$err" = "$dir/said.safetensors: 32 tensors, 0.0 MB in 6 shards and an index"
run "$vitrain" convert "$weights" "$dir/said.safetensors" --quiet
check "not with --quiet" test $status = 0 -a -z "$out$err"
run "$vitrain" convert "$run/last.safetensors" "$dir/last.safetensors"
check "convert of a run's state: its weights" test "$("$vitrain" info "$dir/last.safetensors" | grep -c F32)" = 32
check "and that is said" grep -qx "$run/last.safetensors: left out 64 tensors of the run's state (optim.*, ema.*)" <<<"$err"
evaluate "$dir/last.safetensors"
check "they evaluate as they are" test $status = 0 -a "$(number acc1)" = "$acc"
header='{"ema.x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
printf "\\x$(printf %02x ${#header})\\0\\0\\0\\0\\0\\0\\0%s\\0\\0\\0\\0" "$header" >"$dir/state.safetensors"
fails "a state without weights" 1 "state.safetensors: expected weights, got only a run's state" \
    "$vitrain" convert "$dir/state.safetensors" "$dir/none.safetensors"
check "leaves no file" test ! -e "$dir/none.safetensors"
fails "another ending" 2 "none.pth: expected a name that ends in .safetensors" convert "$dir/none.pth"
rm "$dir/many-00002-of-00006.safetensors"
fails "a shard that is missing" 1 "index.json: .*many-00002-of-00006.safetensors: .*No such file" \
    "$vitrain" info "$dir/many.safetensors.index.json"
fails "an unknown type" 2 "dtype.*f32, f16 or bf16.*f8" convert "$dir/none" --dtype f8
fails "a shard size that is none" 2 "shard-size.*3k" convert "$dir/none" --shard-size 3k
fails "a shard size beyond all files" 2 "shard-size.*9" convert "$dir/none" --shard-size 99999999999GB
fails "shards of another ending" 2 "expected a name that ends in .safetensors" convert "$dir/none" --shard-size 100
fails "weights that are not there" 1 "nowhere" "$vitrain" convert "$dir/nowhere" "$dir/none"
fails "a place that cannot be written" 1 "nowhere" convert "$dir/nowhere/out.safetensors"
check "nothing is left of these" test ! -e "$dir/none"

# ---- .pth ----
pth=tests/golden/checkpoint.pth # scripts/golden_pth.py: a ViT of width 8, one block, three classes
narrow=(--set model.embed_dim=8 --set model.depth=1)
check "convert of a .pth" "$vitrain" convert $pth "$dir/pth.safetensors"
evaluate $pth "${narrow[@]}"
check "a .pth evaluates" test $status = 0
direct=$out
evaluate "$dir/pth.safetensors" "${narrow[@]}"
check "and the same converted" test $status = 0 -a "$out" = "$direct"
run "$vitrain" info $pth
check "info of a .pth: the weights alone" grep -q "^20 tensors" <<<"$out"
fails "a .pth says no shape" 2 "checkpoint.pth does not say what model it is for: give --config or --set model.name=NAME .no preset has" \
    "$vitrain" predict $pth "$dir/val/class1/000.png"
# Its head has three classes. Folders that are not there, or none at all, need not be counted.
run "$vitrain" predict $pth "$dir/val/class1/000.png" --config "$config" "${narrow[@]}" \
    --set data.train="$dir/nowhere" --set data.val="$dir/nowhere"
check "the head says how many classes" test $status = 0 -a "$(wc -l <<<"$out")" = 4
vit=(--set model.name=vit --set model.image_size=16 --set model.patch_size=8 --set model.num_heads=2
    --set model.mlp_ratio=2 "${narrow[@]}")
run "$vitrain" predict $pth "$dir/val/class1/000.png" "${vit[@]}"
check "without any data too" test $status = 0 -a "$(wc -l <<<"$out")" = 4
run "$vitrain" info $pth "${vit[@]}"
check "and to info" grep -q "^model .* 3 classes" <<<"$out"
"$material" images "$dir/two" 2 4 16
fails "fewer classes than the head's" 2 "^vitrain: data.val: $dir/two has 2 classes, the weights are for 3: .*data.class_map" \
    "$vitrain" eval --config "$config" --checkpoint $pth --quiet "${narrow[@]}" \
    --set data.train=null --set data.val="$dir/two"
printf 'class0\nother\nclass1\n' >"$dir/which"
printf 'class0\nclass1\n' >"$dir/names"
run "$vitrain" eval --config "$config" --checkpoint $pth --json --quiet "${narrow[@]}" \
    --set data.train=null --set data.val="$dir/two" --set data.class_map="$dir/which"
check "that a class map tells apart" test $status = 0 -a "$(number n)" = 8
fails "a class map of fewer" 2 "^vitrain: data.class_map: .*names names 2 classes, the weights are for 3" \
    "$vitrain" eval --config "$config" --checkpoint $pth --quiet "${narrow[@]}" \
    --set data.val="$dir/two" --set data.class_map="$dir/names"
fails "the format before PyTorch 1.6" 1 "legacy.pth: .*PyTorch 1.6" \
    "$vitrain" info tests/golden/legacy.pth
LC_ALL=C sed 's/argparse/subproce/' $pth >"$dir/evil.pth" # its checksum differs now
fails "a .pth that was changed" 1 "evil.pth: zip: entry .*data.pkl: damaged" "$vitrain" info "$dir/evil.pth"

# ---- weights that say what they are for ----
run "$vitrain" eval "$weights" --set data.val="$dir/val" --json
check "eval of weights alone" test $status = 0 -a "$(number n) $(number acc1)" = "18 $acc"
run "$vitrain" eval --checkpoint "$weights" --set data.val="$dir/val" --json
check "eval --checkpoint alone" test $status = 0 -a "$(number acc1)" = "$acc"
check "grey weights" "$vitrain" --config "$config" --quiet --set train.epochs=1 --set model.in_chans=1 \
    --set data.mean='[0.4]' --set data.std='[0.2]' --set output="$dir/grey"
run "$vitrain" eval "$dir/grey/model.safetensors" --set data.val="$dir/val" --json
check "eval of these alone" test $status = 0 -a "$(number n)" = 18
fails "eval of weights, and where?" 2 "data.val: missing" "$vitrain" eval "$weights"
fails "eval of two files" 2 "weights of one file, got .*--checkpoint" "$vitrain" eval "$weights" --checkpoint "$weights"
for command in "predict $run $dir/val/class1/000.png" "eval --checkpoint $run" "info $run"; do
    fails "a folder as weights: $command" 1 "run: is a folder, expected a file of weights; there is .*run/model.safetensors" \
        "$vitrain" $command
done
fails "a folder without weights" 1 "val: is a folder, expected a file of weights$" "$vitrain" info "$dir/val"

# ---- weights of another model ----
for command in "eval $weights" "predict $weights $dir/val/class1/000.png"; do
    fails "$command: other heads than trained" 2 \
        "^vitrain: model.num_heads: the configuration says 4, the weights were trained with 2$" \
        "$vitrain" $command --config "$config" --set model.num_heads=4
    fails "$command: without --config too" 2 "^vitrain: model.num_heads: the configuration says 4, .* with 2$" \
        "$vitrain" $command --set model.num_heads=4
done
check "weights of a picture of 8 x 16 px" "$vitrain" --config "$config" --quiet --set train.epochs=1 \
    --set model.image_size='[8, 16]' --set output="$dir/flat"
fails "as many patches, but otherwise" 2 "^vitrain: model.image_size: the configuration says \[16, 8\], .* with \[8, 16\]$" \
    "$vitrain" eval "$dir/flat/model.safetensors" --config "$config" --set model.image_size='[16, 8]'
for set in depth=5 embed_dim=32 num_classes=5 image_size=32 pool=avg; do
    fails "model.$set over weights that say otherwise" 1 "model.safetensors: " "$vitrain" eval "$weights" --set model.$set
done
run "$vitrain" eval "$weights" --set model.num_heads=2 --set model.drop_path=0.2 --set data.val="$dir/val" --json
check "but not what they say themselves" test $status = 0 -a "$(number acc1)" = "$acc"
fails "nor another model" 1 "the weights are of width 16, depth 2, patch size 8; the configuration says 192, 12, 16; " \
    "$vitrain" info "$weights" --set model.name=deit_tiny_patch16_224

# ---- reports of what does not fit ----
evaluate "$weights" --set model.depth=1
check "a block too many: status" test $status = 1
check "the depths are told, then some of its tensors" test \
    "$(grep -o 'blocks\.1\.[a-z0-9.]*: the model has no such tensor' <<<"$err" | wc -l)" = 4
check "that is all" grep -qE \
    "^vitrain: $weights: the weights are of depth 2; the configuration says 1; tensor blocks.*; and 8 more$" <<<"$err"
evaluate "$weights" --set model.depth=3
check "a block too few: its tensors are missing" test \
    "$(grep -o 'blocks\.2\.[a-z0-9.]*: expected [^;]*got none' <<<"$err" | wc -l)" = 4
check "and the depths are told" grep -qE \
    "^vitrain: $weights: the weights are of depth 2; the configuration says 3; tensor .*; and 8 more$" <<<"$err"
evaluate "$weights" --set model.embed_dim=24 --set model.patch_size=4 --set model.num_classes=5
check "all that the shapes say" grep -q "model.safetensors: the weights are of width 16, patch size 8, 3 classes; the configuration says 24, 4, 5; tensor " <<<"$err"
check "in a line that can be read" test "${#err}" -lt 800
evaluate "$weights" --set model.image_size=24
check "another grid: the tensor and both shapes" grep -q \
    "pos_embed: expected F32 \[1, 10, 16\], got F32 \[1, 5, 16\]" <<<"$err"

# ---- train.init ----
new=$dir/new
start() { # arguments...: a run of one epoch from the weights
    rm -rf "$new"
    run "$vitrain" --config "$config" --set output="$new" --set train.init="$weights" \
        --set train.epochs=1 --set mix.prob=0 --set optim.lr=1e-12 --set schedule.warmup_lr=0 \
        --set schedule.min_lr=0 --set schedule.warmup_epochs=0 "$@"
}
accuracy() { sed 's/.*"test_acc1": *\([^,]*\),.*/\1/' "$new/log.jsonl"; }
start
check "train.init: the same shape" test $status = 0 -a "$(accuracy)" = "$acc"
start --set model.image_size=32
check "train.init: another grid" test $status = 0
check "says what it did" grep -q "pos_embed: interpolated from a grid of 2 x 2 to 4 x 4" <<<"$err"
start --set train.init="$dir/f16.safetensors"
check "train.init from f16" test $status = 0 -a "$(accuracy)" = "$acc"
start --set train.init=$PWD/$pth "${narrow[@]}"
check "train.init from a .pth" test $status = 0
"$material" images "$dir/four" 4 8 16
start --set data.train="$dir/four" --set data.val=null
check "train.init: another number of classes" test $status = 0
check "the head starts anew, and that is said" test \
    "$(grep -c 'head\.[a-z]*: starts anew: 4 classes, 3 in the file' <<<"$err")" = 2
LC_ALL=C sed 's/"blocks.1.mlp.fc1.bias"/"blocks.1.mlp.fc1.bibs"/' "$weights" >"$dir/name.safetensors"
start --set train.init="$dir/name.safetensors"
check "train.init without a tensor: status" test $status = 1
check "it is named, and so is the one too many" grep -q \
    "blocks.1.mlp.fc1.bias: expected F32 \[32\], got none; .*fc1.bibs: the model has no such" <<<"$err"
check "no run was begun" test ! -e "$new/last.safetensors"

# ---- CIFAR's binary files ----
mkdir "$dir/ten" "$dir/hundred"
"$material" cifar "$dir/ten/data_batch_1.bin" 10 48
"$material" cifar "$dir/ten/data_batch_2.bin" 10 48
"$material" cifar "$dir/ten/test_batch.bin" 10 20
"$material" cifar "$dir/hundred/train.bin" 100 96
"$material" cifar "$dir/hundred/test.bin" 100 20
cifar() { # data.train, data.val, more...
    local train=$1 val=$2
    shift 2
    rm -rf "$new"
    run "$vitrain" --config "$config" --set output="$new" --set data.train="$train" \
        --set data.val="$val" --set data.augment=cifar --set mix.prob=0 --set train.epochs=8 "$@"
}
cifar "$dir/ten" "$dir/ten/test_batch.bin" --set train.init="$weights"
check "fine-tuning on CIFAR-10's files" test $status = 0
check "of all batches in the folder" grep -q "^96 training images of 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 20 for validation$" <<<"$err"
check "to ten classes" grep -q "head.weight: starts anew: 10 classes, 3 in the file" <<<"$err"
check "learns them" holds "$(tail -n 1 "$new/log.jsonl" | sed 's/.*"test_acc1": *\([^,]*\),.*/\1/') > 80"
cifar "$dir/hundred" "$dir/hundred/test.bin" --set train.init="$weights" --set train.epochs=1
check "CIFAR-100's" test $status = 0
check "to a hundred classes" grep -q "head.weight: starts anew: 100 classes" <<<"$err"
head -c 5000 "$dir/ten/data_batch_1.bin" >"$dir/ten/data_batch_3.bin"
fails "a CIFAR file cut off" 1 "data_batch_3.bin: 5000 bytes, expected pictures of 3073 bytes each" \
    "$vitrain" --config "$config" --quiet --set output="$new" --set data.train="$dir/ten" --set data.val=null
finish
