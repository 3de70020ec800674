#!/usr/bin/env bash
# Swin through the commands: a small one learns, stops, goes on, is evaluated, looked into and measured.
. tests/cli/lib.sh
tiny_problem
config=$dir/swin.json
cat >"$config" <<JSON
{
  "model": {"name": "swin", "image_size": 16, "patch_size": 2, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 3],
            "window_size": 3, "mlp_ratio": 2, "drop_path": 0.1, "drop": 0.1},
  "data": {"train": "train", "val": "val", "workers": 2, "mean": [0.4, 0.4, 0.4], "crop_pct": 1},
  "mix": {"cutmix": 1.0, "mixup": 0.8, "smoothing": 0.1},
  "optim": {"name": "adamw", "lr": 0.003, "lr_base_batch": null},
  "train": {"epochs": 3, "batch_size": 8, "accumulate": 2},
  "output": "$dir/run"
}
JSON
train() { "$vitrain" --config "$config" --quiet "$@"; }

run train --set output="$dir/whole"
check "a run with TL-Align" test $status = 0 -a -s "$dir/whole/model.safetensors"
run train --set train.epochs=1
run train
check "one that goes on ends with the same bits" cmp "$dir/run/model.safetensors" "$dir/whole/model.safetensors"
for mode in none block; do
    run train --set output="$dir/$mode" --set train.recompute=$mode
    check "train.recompute=$mode" test $status = 0
done
check "config.json has the family's own keys and no others" \
    test "$(grep -cE '"(depths|window_size)":' "$dir/run/config.json")" = 2 -a \
    "$(grep -cE '"(depth|distilled)":' "$dir/run/config.json")" = 0
run "$vitrain" --config "$dir/run/config.json" --quiet --set train.epochs=4
check "and can be run" test $status = 0
fails "other windows do not resume" 2 "model.window_size" train --set model.window_size=4 --set train.epochs=5

run train --set output="$dir/learnt" --set train.epochs=25 --set mix.prob=0 --set model.drop=0
weights=$dir/learnt/model.safetensors
run "$vitrain" eval --config "$config" --checkpoint "$weights" --json --quiet
loss=$(number loss)
check "the small problem is learnt" holds "$(number acc1) > 80"
run "$vitrain" predict "$weights" "$dir/val/class1/000.png" --json
check "predict with the weights alone" test $status = 0
run "$vitrain" info "$weights"
check "info tells the stages" grep -q "depth 2-2, 2-3 heads" "$dir/.out"
run "$vitrain" convert "$weights" "$dir/half.safetensors" --dtype f16
run "$vitrain" eval --config "$config" --checkpoint "$dir/half.safetensors" --json --quiet
check "convert: its loss is $loss within 1e-3" holds "($(number loss) - $loss) ^ 2 <= 1e-3 ^ 2"
run train --set output="$dir/finer" --set train.epochs=1 --set train.init="$weights" --set model.window_size=4
check "windows of another size start from these weights" test $status = 0

# timm: swin_tiny_patch4_window7_224 has 28,288,354 parameters and 4.5 G multiply-adds
run "$vitrain" info --set model.name=swin_tiny_patch4_window7_224 --json
check "info of Swin-T: parameters" test "$(number n_parameters)" = 28288354
check "info of Swin-T: FLOPs" holds "$(number forward_flops) > 8.9e9 && $(number forward_flops) < 9.1e9"

# probe: B 5, 8 x 8 tokens in 9 windows of 9, then 4 x 4 in 4 windows of 9; 3 classes
"$material" probe "$dir/in.safetensors" 5 3 16 2 3
run "$vitrain" probe --config "$config" --checkpoint "$weights" --input "$dir/in.safetensors" \
    --output "$dir/out.safetensors"
count() { "$material" print "$dir/out.safetensors" "$1" | wc -l; }
check "probe" test $status = 0 -a "$(count logits)" = 15 -a "$(count attn.0)" = $((5 * 9 * 81)) -a \
    "$(count attn.3)" = $((5 * 4 * 81)) -a "$(count grad.head.fc.bias)" = 3
check "rows of the maps sum to 1" awk 'NR % 9 == 1 { s = 0 } { s += $1 }
    NR % 9 == 0 && (s - 1) ^ 2 > 1e-10 { exit 1 }' <("$material" print "$dir/out.safetensors" attn.1)

run "$vitrain" bench step --config "$config" --set data.train=null --set data.val=null --set model.num_classes=5 \
    --batch 6 --steps 2 --json --quiet
check "bench step" test $status = 0
check "what is executed is what is nominal" \
    holds "($(number gflops) / $(number nominal_gflops) - 1) ^ 2 < 1e-6"

run "$vitrain" attend "$weights" "$dir/val/class1/000.png" --output "$dir/attention" --json
check "attend" test $status = 0 -a "$(number layers)" = 4
check "it leaves a sheet a layer, rollout and numbers" test "$(find "$dir/attention" -name '000.*' | wc -l)" = 6
map() { "$material" print "$dir/attention/000.maps.safetensors" "$1"; }
check "rollout of the last layer sums to 1" awk '{ s += $1 } END { exit (s - 1) ^ 2 > 1e-8 }' <(map rollout.3)
fails "a class token" 2 "model.pool" train --set model.pool=token
fails "a label rule that wants one" 2 "label.rule" train --set label.rule=transmix --set output="$dir/no"
fails "a depth" 2 "model.depth: .*no such key" train --set model.depth=3
fails "heads for one stage only" 2 "model.num_heads" train --set model.num_heads=2
finish
