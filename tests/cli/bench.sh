#!/usr/bin/env bash
# bench on a tiny model: what it says agrees with itself and with info; wrong options are refused.
. tests/cli/lib.sh
config=$dir/tiny.json
cat >"$config" <<END
{"model": {"name": "vit", "image_size": [16, 24], "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2,
           "num_classes": 5, "drop_path": 0.5},
 "train": {"batch_size": 5, "threads": 2}}
END
near() { holds "($1) > 0.999 * ($2) && ($1) < 1.001 * ($2)"; }

run "$vitrain" info --config "$config" --json
flops=$(number train_flops)

run "$vitrain" bench step --config "$config" --batch 7 --rule area --precision fp32 --recompute gelu --steps 3 \
    --json --quiet
check "bench step" test $status = 0 -a -z "$err"
for key in images_per_s gflops fraction_of_peak nominal_gflops nominal_fraction peak_gflops peak_rss_bytes \
    mix forward label backward optimizer; do
    check "$key is there" holds "$(number $key) + 0 > 0"
done
check "the options are obeyed" test "$(number batch) $(number steps) $(number threads)" = "7 3 2"
check "precision and rule" grep -q '"precision": *"fp32".*"rule": *"area"' "$dir/.out"
check "images_per_s is of the median step" near "$(number images_per_s)" "7000 / $(number median)"
check "low, median, high" holds "$(number low) <= $(number median) && $(number median) <= $(number high)"
check "nominal_gflops is images_per_s times info's train_flops" \
    near "$(number nominal_gflops)" "$(number images_per_s) * $flops * 1e-9"
check "nominal_fraction" near "$(number nominal_fraction)" "$(number nominal_gflops) / $(number peak_gflops)"
check "fraction_of_peak" near "$(number fraction_of_peak)" "$(number gflops) / $(number peak_gflops)"
check "no more is executed than nominal, and not much less" \
    holds "$(number gflops) < 1.001 * $(number nominal_gflops) && $(number gflops) > 0.6 * $(number nominal_gflops)"
check "no share is above the peak" holds "$(number fraction_of_peak) < 1.05"
for recompute in none block; do
    run "$vitrain" bench step --config "$config" --recompute $recompute --steps 2 --json --quiet
    check "recompute $recompute" holds "$status == 0 && $(number gflops) > 0"
done
if "$vitrain" bench step --config "$config" --precision bf16 --steps 1 --json --quiet >"$dir/.out" 2>"$dir/.err"; then
    check "bf16" grep -q '"precision": *"bf16"' "$dir/.out"
else
    check "why there is no bf16" grep -q "train.precision: bf16 is not to be had: this .*processor" "$dir/.err"
fi
run "$vitrain" bench step --config "$config" --steps 1 --precision fp32 --set train.threads=1
check "bench step for people" grep -q "^vit, batch 5, fp32, tl-align, 1 thread, 1 step$" "$dir/.out"
check "memory is planned and reported" grep -q "^memory: .* activations" "$dir/.err"

forward=$("$vitrain" info --config "$config" --json | sed 's/.*"forward_flops": *\([0-9]*\).*/\1/')
run "$vitrain" bench eval --config "$config" --steps 3 --json --quiet
check "bench eval" near "$(number nominal_gflops)" "$(number images_per_s) * $forward * 1e-9"
run "$vitrain" bench gemm --config "$config" --json --quiet
check "bench gemm" test $status = 0 -a "$(number threads)" = 2
sums=$(grep -o '"share_of_step": *[^,]*' "$dir/.out" | cut -d: -f2 | paste -sd+)
check "its shares sum to 1" near "$sums" 1
# 7 tokens, 5 images: two chunks of 3 images for 2 threads
check "shapes of fc1" grep -q '"fc1", *"m": *21, *"n": *64, *"k": *16, *"calls": *6,' "$dir/.out"
check "shapes of its weight gradient" grep -q '"fc1 dW", *"m": *32, *"n": *16, *"k": *21, *"calls": *12,' "$dir/.out"
check "shapes of attention" grep -q '"attention Pv", *"m": *7, *"n": *8, *"k": *7, *"calls": *20,' "$dir/.out"
check "shapes of the last block's" grep -q '"last kv all", *"m": *3, *"n": *16, *"k": *8, *"calls": *24,' "$dir/.out"

run "$vitrain" bench peak --json
check "bench peak" holds "$status == 0 && $(number fma_gflops) > 0 && $(number memory_gb_per_s) > 0"
run "$vitrain" bench peak
check "bench peak for people" grep -qE "^multiply-add +[0-9.]+ GFLOP/s" "$dir/.out"

"$material" images "$dir/pictures" 2 10 40
echo "no picture" >"$dir/pictures/class0/none.png"
run "$vitrain" bench loader --config "$config" --set data.train="$dir/pictures" --json --quiet
check "bench loader" test $status = 0
for key in read decode resize normalise; do
    check "bench loader: $key is there for both pipelines" \
        test "$(grep -o "\"$key\": *[0-9.e-]*[1-9]" <<<"$out" | wc -l)" = 4
done
check "bench loader: what the input is" grep -q "\"image_size\": \[16, 24\].*\"train\": \"$dir/pictures\".*\"crop_pct\":" "$dir/.out"
for pipeline in train eval; do
    one=$(sed "s/.*\"$pipeline\": *{\([^}]*}\).*/\1/" <<<"$out")
    out=$one
    sum=$(for key in read decode resize policy normalise; do number $key; done | paste -sd+)
    check "$pipeline: the stages make up the time" \
        holds "($sum) * $(number images_per_s) < 1001 && ($sum) * $(number images_per_s) > 500"
    check "$pipeline: one worker uses one processor at most" \
        holds "$(number images_per_cpu_s) > 0.98 * $(number images_per_s)"
    check "$pipeline: what is no picture is counted" \
        holds "$(number bad) * 20 < $(number samples) && $(number bad) * 22 > $(number samples)"
    out=$(cat "$dir/.out")
done
check "and warned of once for each" test "$(grep -c "none.png" "$dir/.err")" = 2
fails "bench loader without data" 2 "data.train" "$vitrain" bench loader --config "$config"
fails "bench loader with a batch" 2 "loader takes no other options" \
    "$vitrain" bench loader --config "$config" --batch 3

step() { "$vitrain" bench step --config "$config" --quiet "$@"; }
fails "bench what" 2 "bench needs step.eval.gemm.loader.peak" "$vitrain" bench
fails "another bench" 2 "got \"setp\"; the nearest is step" "$vitrain" bench setp
fails "no configuration" 2 "model.name: missing; give --config FILE or --set model.name=NAME" "$vitrain" bench step
fails "peak with a configuration" 2 "no other option than --json" "$vitrain" bench peak --config "$config"
fails "eval with a rule" 2 "--rule" "$vitrain" bench eval --config "$config" --rule area
fails "gemm with steps" 2 "--steps" "$vitrain" bench gemm --config "$config" --steps 2
fails "no steps" 2 "--steps: expected a whole number from 1 to 10000, got \"0\"" step --steps 0
fails "steps that are no number" 2 "--steps: .*\"3x\"" step --steps 3x
fails "no images" 2 "^vitrain: --batch: expected a whole number from 1 to 65536, got \"0\"" step --batch 0
fails "a batch in bytes" 2 "^vitrain: --batch: expected .*got \"8MB\"" step --batch 8MB
fails "steps behind a blank" 2 "^vitrain: --steps: expected .*got \" 2\"" step --steps " 2"
fails "another precision" 2 "train.precision: .*\"fp15\"" step --precision fp15
fails "another rule" 2 "label.rule: .*\"aera\"" step --rule aera
fails "another recompute" 2 "train.recompute: .*\"layers\"" step --recompute layers
finish
