#!/usr/bin/env bash
# train.freeze: what is frozen keeps its bits, and a run that is resumed too.
. tests/cli/lib.sh
tiny_problem
freeze='train.freeze=["patch_embed.*","blocks.0.*"]'
train() { "$vitrain" --config "$dir/tiny.json" --quiet --set optim.clip_norm=1 "$@"; }
tensor() { "$material" print "$dir/$1/model.safetensors" "$2"; }

run train --set "$freeze" --set output="$dir/one" --set train.epochs=1
check "a run with frozen tensors" test $status = 0
run train --set "$freeze" --set output="$dir/three"
for name in patch_embed.proj.weight blocks.0.attn.qkv.weight blocks.0.norm1.bias; do
    check "$name stays" test "$(tensor one $name)" = "$(tensor three $name)"
done
for name in cls_token blocks.1.attn.qkv.weight head.bias; do
    check "$name does not" test "$(tensor one $name)" != "$(tensor three $name)"
done
run train --set "$freeze" --set output="$dir/one"
check "a resumed run comes to the same end" cmp "$dir/one/model.safetensors" "$dir/three/model.safetensors"
fails "other patterns do not resume" 2 "train.freeze" train --set output="$dir/one" --set train.epochs=4
fails "a pattern that matches nothing" 2 'no tensor.s name matches "blocks.2' \
    train --set 'train.freeze=["cls_token","blocks.2.*"]' --set output="$dir/other"
fails "nothing left to train" 2 "train.freeze" train --set 'train.freeze=["*"]' --set output="$dir/other"
fails "not a list" 2 'train.freeze: expected a list of patterns, got "head' \
    train --set 'train.freeze="head.*"' --set output="$dir/other"
run "$vitrain" bench step --config "$dir/tiny.json" --steps 5 --quiet --json --set "$freeze"
check "bench times it, and claims no share of the peak" test $status = 0 -a \
    "$(grep -o '"gflops": null\|"nominal_fraction": null' "$dir/.out" | wc -l)" = 2
finish
