#!/usr/bin/env bash
# eval, probe, predict and info on a small trained model: what they say is held against itself and
# against arithmetic done here.
. tests/cli/lib.sh
tiny_problem
config=$dir/tiny.json run=$dir/run
check "a model to work with" "$vitrain" --config "$config" --quiet --set train.epochs=12 --set mix.prob=0

# eval
run "$vitrain" eval --config "$config" --checkpoint "$run/model.safetensors" --json --quiet
check "eval" test $status = 0 -a "$(number n)" = 18
acc=$(number acc1) loss=$(number loss)
check "the small problem is learnt" holds "$acc > 80 && $loss < 0.7"
run "$vitrain" eval --config "$config" --checkpoint "$run/model.safetensors" --json --quiet \
    --precision "$(precision_of "$run")"
check "its loss and accuracy are those of the run's last epoch" \
    test "$(number acc1) $(number loss)" = "$(tail -n 1 "$run/log.jsonl" |
        sed 's/.*"test_loss": *\([^,]*\),.*"test_acc1": *\([^,]*\),.*/\2 \1/')"
run "$vitrain" eval --config "$config" --checkpoint "$run/last.safetensors" --json --quiet
check "last.safetensors does as well" test "$(number acc1) $(number loss)" = "$acc $loss"
run "$vitrain" eval --config "$config" --checkpoint "$run/model.safetensors" --json --quiet \
    --set data.train=null --set train.batch_size=5 --set data.workers=0
check "eval needs only data.val" test $status = 0
check "the batch size changes nothing" holds "($(number loss) - $loss) ^ 2 < 1e-12"

# Labels are the names that the weights know, whichever of them are there.
mkdir "$dir/some" "$dir/rest" "$dir/unknown"
cp -r "$dir/val/class0" "$dir/rest"
cp -r "$dir/val"/class[12] "$dir/some"
cp -r "$dir/val/class0" "$dir/unknown/class7"
part() { run "$vitrain" eval --checkpoint "$run/model.safetensors" --set data.val="$1" --json; }
part "$dir/val"
all=$(number acc1)
part "$dir/rest"
rest=$(number acc1)
part "$dir/some"
check "eval of some classes: the same pictures are right" holds "($all * 18 - $rest * 6 - $(number acc1) * 12)^2 < 1"
check "what is not there is said" test "$err" = "warning: $dir/some: no picture of 1 of the 3 classes; accuracy is of the others"
run "$vitrain" --config "$config" --quiet --dry-run --set data.val="$dir/some"
check "when training too" test "$err" = "warning: $dir/some: no picture of 1 of the 3 classes; accuracy is of the others"
printf 'class0\nclass1\nclass2\n' >"$dir/mapped"
run "$vitrain" eval --config "$config" --checkpoint "$run/model.safetensors" --quiet --set data.val="$dir/some" \
    --set data.class_map="$dir/mapped"
check "but no warning where a map says which" test $status = 0 -a -z "$err"
part "$dir/val"
check "all are there: nothing to say" test -z "$err"
fails "eval of another class" 1 'unknown.class7: class "class7" is not one of the 3 known ones .class0, class1, class2.' \
    "$vitrain" eval --checkpoint "$run/model.safetensors" --set data.val="$dir/unknown"
run "$vitrain" info "$run/model.safetensors"
check "info names them" grep -q "^classes     class0, class1, class2$" "$dir/.out"

# predict
run "$vitrain" predict "$run/model.safetensors" "$config" "$dir/val/class1/000.png" --json
check "a picture that cannot be read: predict fails" test $status = 1 -a "$(tail -n 1 "$dir/.err")" = "vitrain: 1 of 2 pictures cannot be read"
check "and names it" grep -q "^error: $config: " "$dir/.err"
check "and answers the other" test "$(grep -o '"top"' <<<"$out" | wc -l)" = 1
check "with the reason beside it" grep -q '"error": *"'"$config" <<<"$out"
run "$vitrain" predict "$run/model.safetensors" "$dir"/val/class1/00[01].png --config "$config" --json
check "predict" test $status = 0 -a "$(grep -o '"image"' <<<"$out" | wc -l)" = 2
check "its first guess" grep -q '"top": *\[{"label": *1,' "$dir/.out"
check "its probabilities sum to 1" \
    holds "($(grep -o '"probability":[^}]*' <<<"$out" | cut -d: -f2 | paste -sd+) - 2) ^ 2 < 1e-10"
printf 'red\ngreen\nblue\n' >"$dir/names"
run "$vitrain" predict "$run/last.safetensors" "$dir/val/class1/000.png" --config "$config" \
    --classes "$dir/names"
check "predict --classes" test $status = 0 -a "$(sed -n 2p "$dir/.out" | awk '{print $2}')" = green
run "$vitrain" predict "$run/model.safetensors" "$dir"/val/class1/00[01].png --config "$config"
with=$out
for weights in model last; do
    run "$vitrain" predict "$run/$weights.safetensors" "$dir"/val/class1/00[01].png
    check "predict with $weights.safetensors alone: the same" test $status = 0 -a "$out" = "$with"
done
run "$vitrain" predict "$run/model.safetensors" "$dir"/val/class1/00[01].png --set train.threads=1
check "and with --set" test $status = 0 -a "$out" = "$with"
printf 'red\ngreen\n' >"$dir/two_names"
fails "a wrong number of class names" 1 "names.*expected 3.*got 2" \
    "$vitrain" predict "$run/model.safetensors" "$dir/val/class1/000.png" --classes "$dir/two_names"

# names of any encoding
odd=$dir/$(printf 'caf\351 \303\251\n\033[1m.png')
cp "$dir/val/class1/000.png" "$odd"
run "$vitrain" predict "$run/model.safetensors" "$odd" --json
check "a name that is no UTF-8: the answer is" iconv -f UTF-8 -t UTF-16 "$dir/.out"
check "with U+FFFD in it, what is UTF-8 as it is" \
    grep -q "caf$(printf '\357\277\275 \303\251')\\\\n\\\\u001b\[1m.png" "$dir/.out"
run "$vitrain" predict "$run/model.safetensors" "$odd"
check "control characters of a name are no lines of their own" \
    test $status = 0 -a "$(wc -l <"$dir/.out")" = 4 -a "$(LC_ALL=C grep -c $'caf\351 \303\251??\\[1m.png$' "$dir/.out")" = 1

# info
run "$vitrain" info
check "info" test $status = 0
check "info names the BLAS" grep -qi "blas.*openblas" "$dir/.out"
run "$vitrain" info "$run/model.safetensors" --json
parameters=$(number n_parameters)
check "info of weights" test "$parameters" = "$(tail -n 1 "$run/log.jsonl" | sed 's/.*"n_parameters": *\([0-9]*\).*/\1/')"
# timm: deit_tiny_patch16_224 has 5,717,416 parameters; 2.51 GFLOPs forward (1.26 G multiply-adds)
run "$vitrain" info --set model.name=deit_tiny_patch16_224 --set model.num_classes=1000 --json
check "info of DeiT-Tiny: parameters" test "$(number n_parameters)" = 5717416
check "info of DeiT-Tiny: FLOPs" holds "$(number forward_flops) > 2.4e9 && $(number forward_flops) < 2.6e9"
check "training is three times the work" \
    holds "$(number train_flops) > 2.8 * $(number forward_flops) && $(number train_flops) < 3.2 * $(number forward_flops)"

for file in configs/*.json; do
    check "$file can be used" "$vitrain" info --config "$file"
done
for size in t s b; do
    check "deit_${size}_cutmix.json differs in label.rule and its output only" \
        test "$(diff configs/deit_$size.json configs/deit_${size}_cutmix.json | grep -c '^>')" = 2
done

# probe: B 5, N 4, T 5, K 3, depth 2
"$material" probe "$dir/in.safetensors" 5 3 16 8 3
probe() { "$vitrain" probe --config "$config" --checkpoint "$run/model.safetensors" "$@"; }
run probe --input "$dir/in.safetensors" --output "$dir/out.safetensors"
check "probe" test $status = 0 -a -z "$out"
# All tensors of a file as awk's arrays: T["name",index].
tensors() { # name...
    local name
    for name in "$@"; do
        case $name in
        in.*) "$material" print "$dir/in.safetensors" "${name#in.}" ;;
        *) "$material" print "$dir/out.safetensors" "$name" ;;
        esac | awk -v name="$name" '{ print name, NR - 1, $1 }'
    done
}
tensors in.mask in.lam logits share target loss attn.0 attn.1 grad.head.bias >"$dir/tensors"
arithmetic() { awk '{ T[$1, $2] = $3; n[$1] = $2 + 1 } function near(a, b, e) { d = a - b; return d * d <= e * e }
    END { if (!n["loss"]) exit 1; '"$1"' }' "$dir/tensors"; }
check "shapes" arithmetic 'exit !(n["logits"] == 15 && n["share"] == 5 && n["target"] == 15 && n["loss"] == 1 && n["attn.1"] == 125)'
check "rows of the maps sum to 1" arithmetic '
    for (r = 0; r < 50; r++) { s = 0; for (k = 0; k < 5; k++) s += T["attn." int(r / 25), (r % 25) * 5 + k]
        if (!near(s, 1, 1e-5)) exit 1 }'
check "shares follow the maps" arithmetic '
    for (b = 0; b < 5; b++) {
        mean = 0
        for (t = 1; t < 5; t++) { s[t] = 1 - T["in.mask", b * 4 + t - 1]; mean += s[t] / 4 }
        s[0] = mean
        for (l = 0; l < 2; l++) {
            for (q = 0; q < 5; q++) { u[q] = 0; for (k = 0; k < 5; k++) u[q] += T["attn." l, b * 25 + q * 5 + k] * s[k] }
            for (q = 0; q < 5; q++) s[q] = (s[q] + u[q]) / 2
        }
        if (!near(s[0], T["share", b], 1e-5)) exit 1
    }'
check "targets follow the shares" arithmetic '
    for (b = 0; b < 5; b++) for (k = 0; k < 3; k++) {
        on = (b % 3 == k) * T["share", b] + ((4 - b) % 3 == k) * (1 - T["share", b])
        if (!near(T["target", b * 3 + k], 0.9 * on + 0.1 / 3, 1e-5)) exit 1
    }'
softmax='for (b = 0; b < 5; b++) { z = 0
    for (k = 0; k < 3; k++) z += exp(T["logits", b * 3 + k])
    for (k = 0; k < 3; k++) { p = exp(T["logits", b * 3 + k]) / z; t = T["target", b * 3 + k]
        loss -= t * log(p) / 5; g[k] += (p - t) / 5 } }'
check "the loss is the targets' cross-entropy" arithmetic "$softmax"' exit !near(loss, T["loss", 0], 1e-5)'
check "the head's bias has its gradient" arithmetic "$softmax"'
    for (k = 0; k < 3; k++) if (!near(g[k], T["grad.head.bias", k], 1e-5)) exit 1'
run probe --input "$dir/in.safetensors" --output "$dir/area.safetensors" --set label.rule=area
check "label.rule=area: the share is lam" cmp <("$material" print "$dir/area.safetensors" share) \
    <("$material" print "$dir/in.safetensors" lam)

# probe with wrong input
refused() { # name, pattern, material's arguments...
    local name=$1 pattern=$2
    shift 2
    rm -f "$dir/bad.safetensors" "$dir/none.safetensors"
    "$material" probe "$dir/bad.safetensors" "$@"
    fails "$name" 1 "$pattern" probe --input "$dir/bad.safetensors" --output "$dir/none.safetensors"
    check "$name: no output" test ! -e "$dir/none.safetensors"
}
refused "images of another size" "images" 5 3 24 8 3
refused "labels out of range" "labels\[3\]: expected 0 to 2, got 3" 5 3 16 8 4
refused "a mask of another grid" "mask" 5 3 16 4 3
fails "an input that is not there" 1 "nowhere" probe --input "$dir/nowhere" --output "$dir/none.safetensors"
fails "an output that cannot be written" 1 "tiny.json" \
    probe --input "$dir/in.safetensors" --output "$dir/tiny.json/out"
finish
