#!/usr/bin/env bash
# Published weights on real pictures: DeiT-Tiny on 500 images of ImageNet's validation set. PyTorch
# gets 353 of them right (70.6%), 464 within its first five (92.8%).
. tests/cli/lib.sh
data=${VT_SHARED_DATA:-../shared/data}
weights=$data/deit_tiny_patch16_224.safetensors images=$data/imagewoof320-ilsvrcval.tar

if [ ! -r "$weights" ] || [ ! -r "$images" ]; then
    skip "DeiT-Tiny on 500 images: no $data"
    finish
    exit
fi
weights=$(realpath "$weights")
tar -xf "$images" -C "$dir"
cat >"$dir/deit.json" <<END
{
  "model": {"name": "deit_tiny_patch16_224"},
  "data": {"val": "imagewoof320-ilsvrcval/val",
           "class_map": "imagewoof320-ilsvrcval/imagenet_wnids.txt"},
  "train": {"batch_size": 25}
}
END
run "$vitrain" eval --config "$dir/deit.json" --checkpoint "$weights" --json
check "eval" test $status = 0 -a "$(number n)" = 500
echo "# $out"
check "353 of 500 right" holds "($(number acc1) - 70.6) ^ 2 <= 1e-12"
check "464 of 500 within the first five" holds "($(number acc5) - 92.8) ^ 2 <= 1e-12"

set -- "$dir"/imagewoof320-ilsvrcval/val/*/*.JPEG
run "$vitrain" predict "$weights" "$1" --config "$dir/deit.json" --json
check "predict" test $status = 0
label=$(number label)
# The published file says nothing of its model: a preset's name is enough, or a configuration for data that
# is elsewhere.
fails "weights without a word" 2 "give --config or --set model.name=deit_tiny_patch16_224 or vit_tiny_patch16_224, which has these" \
    "$vitrain" predict "$weights" "$1"
run "$vitrain" predict "$weights" "$1" --set model.name=deit_tiny_patch16_224 --json
check "predict by the preset's name" test $status = 0 -a "$(number label)" = "$label"
run "$vitrain" predict "$weights" "$1" --config configs/deit_t.json --json
check "predict with a configuration for data that is not there" test $status = 0 -a "$(number label)" = "$label"
fails "eval on ten classes" 2 "val has 10 classes, the weights are for 1000: set data.class_map" \
    "$vitrain" eval "$weights" --set model.name=deit_tiny_patch16_224 --set data.val="$dir/imagewoof320-ilsvrcval/val"
finish
