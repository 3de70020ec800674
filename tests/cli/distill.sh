#!/usr/bin/env bash
# Distillation: a student learns from a run's weights; what does not go together is named.
. tests/cli/lib.sh
tiny_problem
train() { "$vitrain" --config "$dir/tiny.json" --quiet "$@"; }
run train --set output="$dir/teacher" --set train.epochs=6
check "a teacher" test $status = 0
teacher=$dir/teacher/model.safetensors
student=(--set model.distilled=true --set distill.teacher="$teacher")
loss_of() { sed -n '1s/.*"train_loss": *\([-+.e0-9]*\).*/\1/p' "$dir/$1/log.jsonl"; }

run train "${student[@]}" --set output="$dir/none"
for type in hard soft; do
    run train "${student[@]}" --set distill.type=$type --set output="$dir/$type"
    check "a student, $type" test $status = 0 -a -s "$dir/$type/model.safetensors"
    check "$type is another loss than none" test "$(loss_of $type)" != "$(loss_of none)"
done
run train "${student[@]}" --set distill.type=hard --set distill.alpha=0 --set output="$dir/zero"
run train "${student[@]}" --set distill.type=soft --set distill.alpha=0 --set output="$dir/zero2"
check "alpha 0: the teacher does not count" cmp "$dir/zero/model.safetensors" "$dir/zero2/model.safetensors"

# A run that goes on, the teacher having moved.
run train "${student[@]}" --set distill.type=hard --set output="$dir/part" --set train.epochs=2 \
    --set schedule.name=constant
cp "$teacher" "$dir/moved.safetensors"
run train --set model.distilled=true --set distill.teacher="$dir/moved.safetensors" --set distill.type=hard \
    --set output="$dir/part" --set schedule.name=constant
check "a student goes on" test $status = 0
run train "${student[@]}" --set distill.type=hard --set output="$dir/once" --set schedule.name=constant
check "to the same end" cmp "$dir/part/model.safetensors" "$dir/once/model.safetensors"
fails "another type does not resume" 2 "distill.type" \
    train "${student[@]}" --set distill.type=soft --set output="$dir/part" --set train.epochs=4

other() { train "${student[@]}" --set distill.type=hard --set output="$dir/other" "$@"; }
fails "no distillation head" 2 "model.distilled: expected true" other --set model.distilled=false
fails "no teacher" 2 "distill.teacher: expected a path" other --set distill.teacher=null
fails "no such file" 1 "absent" other --set distill.teacher="$dir/absent.safetensors"
fails "images of another size" 2 "distill.teacher: .*24 x 24 px .*16 x 16" other --set model.image_size=24
fails "other pixels" 2 "distill.teacher: .*data.mean" other --set 'data.mean=[0.5,0.5,0.5]'
fails "another model" 2 "distill.teacher" other --set distill.model=deit_tiny_patch16_224
run "$vitrain" bench step --config "$dir/tiny.json" "${student[@]}" --set distill.type=hard --quiet
check "bench step measures it too" test $status = 0
finish
