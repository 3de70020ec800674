#!/usr/bin/env bash
# vitrain attend: pictures of every layer, maps that are attention, and what it refuses.
. tests/cli/lib.sh

tiny_problem
"$vitrain" --config "$dir/tiny.json" --set train.epochs=1 --quiet >/dev/null || exit 1
weights=$dir/run/model.safetensors
one=$dir/val/class0/000.png other=$dir/val/class1/000.png

run "$vitrain" attend "$weights" "$one" "$other" --output "$dir/maps" --json
check "attend answers" test $status = 0 -a "$(number layers)" = 2 -a "$(number heads)" = 2 -a "$(number tokens)" = 5
check "a second picture of the same name has files of its own" \
    test -s "$dir/maps/000-2.layer_01.png" -a -s "$dir/maps/000.layer_01.png"
named=$(grep -o '"[^"]*/maps/[^"]*"' <<<"$out" | tr -d '"' | sort)
check "the answer lists exactly the files written" test "$named" = "$(find "$dir/maps" -type f | sort)"
check "four files a picture: two layers, rollout, numbers" test "$(wc -l <<<"$named")" = 8

# Names that are taken: the third picture would be a-3, which the first one is, and the fourth b, then b-4.
mkdir "$dir/named" "$dir/named/more"
for name in a-3 a more/a b b-5; do cp "$one" "$dir/named/$name.png"; done
cp "$other" "$dir/named/more/a.png"
run "$vitrain" attend "$weights" "$dir"/named/{a-3,a,more/a,b}.png "$dir/named/./b.png" "$dir/named/b-5.png" \
    --output "$dir/taken"
check "pictures of one name: numbers that no other picture has" test $status = 0 -a \
    "$(cd "$dir/taken" && echo *.rollout.png)" = \
    "a-3.rollout.png a-4.rollout.png a.rollout.png b-5.rollout.png b-6.rollout.png b.rollout.png"
run "$vitrain" attend "$weights" "$other" --output "$dir/alone"
check "and each has its own picture" cmp "$dir/taken/a-4.maps.safetensors" "$dir/alone/000.maps.safetensors"

sums() { # tensor, row's length, rows: whether every row sums to 1
    "$material" print "$dir/maps/000.maps.safetensors" "$1" |
        awk -v T="$2" -v rows="$3" '{ s += $1 } NR % T == 0 { n++; if (s < 0.9999 || s > 1.0001) bad = 1; s = 0 }
                                    END { exit bad || n != rows }'
}
check "rows of every head's map sum to 1" sums attn.1 5 10
check "rows of rollout sum to 1" sums rollout.1 5 5

run "$vitrain" attend "$weights" "$one" --output "$dir/plain"
check "without --json a path a line" test $status = 0 -a "$(sort <<<"$out")" = "$(find "$dir/plain" -type f | sort)"
fails "a picture that is none" 1 "tiny.json: neither a PNG nor a JPEG" \
    "$vitrain" attend "$weights" "$dir/tiny.json" --output "$dir/none"
fails "a picture that is not there" 1 "nowhere.png" "$vitrain" attend "$weights" "$dir/nowhere.png" \
    --output "$dir/none"
fails "a folder that cannot be" 1 "tiny.json" "$vitrain" attend "$weights" "$one" --output "$dir/tiny.json/x"
fails "no picture" 2 "attend needs WEIGHTS IMAGE" "$vitrain" attend "$weights"
finish
