#!/usr/bin/env bash
# preprocess: the input of one picture against arithmetic done here, and what it refuses. That it is the
# loader's own is for the unit tests.
. tests/cli/lib.sh
mkdir "$dir/images" && "$material" images "$dir/images" 1 3 24
picture=$dir/images/class0/001.png
cat >"$dir/c.json" <<END
{"model": {"name": "vit", "image_size": 24, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2},
 "data": {"mean": [0, 0, 0], "std": [1, 1, 1], "crop_pct": 1}}
END
preprocess() { "$vitrain" preprocess --config "$dir/c.json" --output "$dir/$1.safetensors" "${@:2}"; }
values() { "$material" print "$dir/$1.safetensors" images; }

run preprocess eval "$picture"
check "preprocess" test $status = 0 -a -z "$out$err"
check "its size" test "$(values eval | wc -l)" = 1728
check "bytes over 255" awk '{ v = $1 * 255; if ((v - int(v + 0.5)) ^ 2 > 1e-6 || v < 60 || v > 240) exit 1 }' \
    <(values eval)
run preprocess moved "$picture" --set data.mean='[0.5,0.5,0.5]' --set data.std='[0.25,0.25,0.25]'
check "mean and std" awk '{ if (($1 - 0.5) / 0.25 - $2 > 1e-5 || ($1 - 0.5) / 0.25 - $2 < -1e-5) exit 1 }' \
    <(paste <(values eval) <(values moved))
run preprocess resized "$picture" --set model.image_size=16
check "another size" test "$(values resized | wc -l)" = 768
run preprocess grey "$picture" --set model.in_chans=1
check "grey" test $status = 0 -a "$(values grey | wc -l)" = 576

run preprocess train "$picture" --train --seed 3 --epoch 2 --index 5
check "--train" test $status = 0
run preprocess again "$picture" --train --seed 3 --epoch 2 --index 5
check "--train again: the same" cmp "$dir/train.safetensors" "$dir/again.safetensors"
for other in "--seed 4 --epoch 2 --index 5" "--seed 3 --epoch 1 --index 5" "--seed 3 --epoch 2 --index 6"; do
    # shellcheck disable=SC2086 # words
    run preprocess other "$picture" --train $other
    check "$other: another input" test -n "$(cmp "$dir/train.safetensors" "$dir/other.safetensors")"
done
run preprocess seeded "$picture" --train --epoch 2 --index 5 --set train.seed=3
check "the seed is the configuration's" cmp "$dir/train.safetensors" "$dir/seeded.safetensors"
run preprocess plain "$picture" --train --set data.augment=none
check "--train without augmentation" cmp "$dir/plain.safetensors" "$dir/eval.safetensors"

run "$vitrain" probe --help
check "probe takes the tensor" grep -q "^  --input" "$dir/.out"
rm -f "$dir/none.safetensors"
fails "a picture that is none" 1 "c.json: neither a PNG nor a JPEG" preprocess none "$dir/c.json"
fails "a picture that is not there" 1 "nowhere.png" preprocess none "$dir/nowhere.png"
fails "a seed that is no number" 2 "--seed: .*\"x\"" preprocess none "$picture" --train --seed x
fails "a negative epoch" 2 "--epoch: .*\"-1\"" preprocess none "$picture" --train --epoch -1
fails "an index that is too large" 2 "--index: .*4294967295" preprocess none "$picture" --train --index 4294967296
fails "a seed without --train" 2 "need --train" preprocess none "$picture" --seed 1
fails "too many pixels" 1 "24x24 pixels, expected at most 100" \
    preprocess none "$picture" --set data.max_pixels=100
fails "an output that cannot be written" 1 "c.json" preprocess "c.json/x" "$picture"
check "no output" test ! -e "$dir/none.safetensors"
finish
