#!/usr/bin/env bash
# DeiT III's recipe in small: LayerScale, LAMB, BCE, three-augment, simple random crop; that a run of it goes on
# as if nothing had been, whatever the number of workers, and that its weights can be used.
. tests/cli/lib.sh
tiny_problem
recipe=(--set model.init_values=1e-4 --set model.no_embed_class=true --set model.drop_path_rule=constant
    --set data.augment=deit3 --set data.augment.crop=simple --set mix.grid=pixel --set mix.smoothing=0
    --set label.rule=area --set optim.name=lamb --set optim.lr=0.02 --set train.loss=bce
    --set train.bce_target=binary --set schedule.name=constant)
train() { "$vitrain" --config "$dir/tiny.json" --quiet "${recipe[@]}" "$@"; }

run train --set output="$dir/once" --set data.workers=0
check "a run" test $status = 0
run train --set output="$dir/part" --set train.epochs=2
run train --set output="$dir/part"
check "goes on" test $status = 0
check "to the same end" cmp "$dir/part/model.safetensors" "$dir/once/model.safetensors"
run "$vitrain" info "$dir/once/model.safetensors" --json
with=$(number n_parameters)
run "$vitrain" info --config "$dir/tiny.json" --json --set model.num_classes=3
without=$(number n_parameters) # two blocks' two gammas more, a position less, 16 numbers each
check "its weights say what they are" test "$with" = $((without + 4 * 16 - 16))
run "$vitrain" eval --checkpoint "$dir/once/model.safetensors" --config "$dir/tiny.json" "${recipe[@]}" --json --quiet
check "eval" test $status = 0 -a "$(number n)" = 18
fails "not of a plain model" 1 "gamma: the model has no such tensor" \
    "$vitrain" eval --checkpoint "$dir/once/model.safetensors" --config "$dir/tiny.json" --quiet
fails "LayerScale settles a run" 2 "model.init_values" train --set output="$dir/once" --set model.init_values=0.1 \
    --set train.epochs=4
fails "smoothing makes every class a target" 2 "mix.smoothing: expected 0" train --set mix.smoothing=0.1
fails "binary targets have no shares" 2 "label.rule: expected .area" train --set label.rule=tl-align
run train --set label.rule=tl-align --set train.bce_target=soft --set output="$dir/aligned" --set train.epochs=1
check "BCE against TL-Align's shares" test $status = 0
finish
