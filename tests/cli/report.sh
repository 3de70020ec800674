#!/usr/bin/env bash
# vitrain report and the page that training leaves: well-formed, whole, in a browser too where Chromium
# is installed.
. tests/cli/lib.sh

# Whether a page is well-formed: every element that is opened is closed, in order, no "<" but of tags,
# attributes quoted, every id once, and nothing is fetched from elsewhere.
well_formed() {
    sed '/<style>/,/<\/style>/d' "$1" | awk '
        BEGIN { RS = "<"; empty = " meta link img br " }
        NR == 1 || /^!DOCTYPE html>/ { next }
        function bad(why) { print why; failed = 1; exit 1 }
        {
            end = index($0, ">")
            tag = substr($0, 1, end - 1)
            if (!end || tag !~ /^\/?[a-z][a-z0-9]*( [a-zA-Z][a-zA-Z0-9-]*="[^"]*")*\/?$/) bad("no tag: " substr($0, 1, 80))
            if (index(substr($0, end + 1), ">")) bad("a > outside of tags: " substr($0, 1, 80))
            name = tag; sub(/^\//, "", name); sub(/[ \/].*$/, "", name)
            if (match(tag, / id="[^"]*"/)) {
                id = substr(tag, RSTART, RLENGTH)
                if (id in seen) bad("twice: " id)
                seen[id] = 1
            }
            if (tag ~ / (src|href|action|data)="/ && tag !~ / (src|href)="data:/ && tag !~ / href="#/) bad("from elsewhere: " tag)
            if (name == "script") bad("a script")
            if (tag ~ /^\//) {
                if (stack[depth--] != name) bad("closed but not open: " name)
            } else if (tag !~ /\/$/ && !index(empty, " " name " ")) stack[++depth] = name
        }
        END { if (!failed && (depth || NR < 10)) { print "open: " stack[depth]; exit 1 } }'
}

sections="summary curves shares mixed confusion worst config notes"
has_sections() { # page
    for id in ${2:-$sections}; do
        grep -q "<section id=\"$id\"" "$1" || { echo "no section $id"; return 1; }
    done
}
says() { grep -qE -- "$2" "$1"; } # page, pattern
good() { # name, page
    check "$1: well-formed" well_formed "$2"
    check "$1: every section" has_sections "$2" "${3:-$sections}"
}

tiny_problem
train() { "$vitrain" --config "$dir/tiny.json" --quiet "$@" >/dev/null 2>"$dir/.err"; }
train || { fail "training" "$dir/.err"; finish; exit; }
good "the page that training leaves" "$dir/run/report.html"
run "$vitrain" report "$dir/run" --output "$dir/again.html"
check "report says where the page is" test $status = 0 -a "$out" = "$dir/again.html" -a -z "$err"
good "a page by hand" "$dir/again.html"
run "$vitrain" report "$dir/run" --output "$dir/again.html" --json
check "--json" test "$out" = "{\"report\": \"$dir/again.html\"}"

# ---- runs of other kinds ----
train --set output="$dir/plain" --set data.val=null --set mix.prob=0 --set train.epochs=1 --set label.rule=area
good "no validation data, no mixing, one epoch" "$dir/plain/report.html"
run "$vitrain" report "$dir/run" "$dir/plain" --output "$dir/both.html"
several="summary curves shares config notes"
good "two runs" "$dir/both.html" "$several"
check "two runs: where they differ" says "$dir/both.html" "mono\">label.rule</th><td class=\"mono\">tl-align</td><td class=\"mono\">area"

mkdir "$dir/x" "$dir/y"
cp -r "$dir/run" "$dir/x/seed0"
cp -r "$dir/plain" "$dir/y/seed0"
run "$vitrain" report "$dir/x/seed0" "$dir/y/seed0" --output "$dir/both2.html"
check "runs of one name are told apart" says "$dir/both2.html" "<th>x/seed0</th><th>y/seed0</th>"

rates() { grep '^<figure class="chart" id="chart-lr">' "$1"; } # page: its chart, a line
lines_in() { grep -o 'class="line s[0-9]" d="M[0-9. ]*L' | wc -l; }
check "the learning rate of every step" test -n "$(rates "$dir/run/report.html" | grep '>optimizer step<')" \
    -a "$(rates "$dir/run/report.html" | lines_in)" = 1
cp -r "$dir/run" "$dir/few"
for steps in missing "of one line"; do
    if [ "$steps" = missing ]; then rm "$dir/few/steps.jsonl"; else head -n 1 "$dir/run/steps.jsonl" >"$dir/few/steps.jsonl"; fi
    run "$vitrain" report "$dir/few"
    good "steps.jsonl $steps" "$dir/few/report.html"
    check "steps.jsonl $steps: each epoch's learning rate" test -n "$(rates "$dir/few/report.html" | grep '>epoch<')" \
        -a "$(rates "$dir/few/report.html" | lines_in)" = 1
done
run "$vitrain" report "$dir/run" "$dir/few" --output "$dir/few.html"
check "beside another run's, too" test -n "$(rates "$dir/few.html" | grep '>epoch<')" -a "$(rates "$dir/few.html" | lines_in)" = 2

cp -r "$dir/run" "$dir/damaged"
sed -i '2s/.*/{"epoch": 1, "train_loss"/' "$dir/damaged/log.jsonl"
echo 'no json' >"$dir/damaged/config.json"
run "$vitrain" report "$dir/damaged"
check "a damaged log is reported nonetheless" test $status = 0
good "a damaged log" "$dir/damaged/report.html"
check "and named" says "$dir/damaged/report.html" "log.jsonl: 1 damaged line left out, the first is line 2"
check "so is a damaged configuration" says "$dir/damaged/report.html" "config.json is missing or damaged"

# ---- mixed pictures ----
check "three mixed pictures; the last layer's share is the label" awk '
    BEGIN { RS = "<article" }
    NR > 1 {
        match($0, /by TL-Align<\/th><td class="num">[0-9.]*/)
        label = substr($0, RSTART, RLENGTH); sub(/.*>/, "", label)
        n = split($0, layer, "<b>")
        if (layer[n] + 0 != label + 0 || n != 3) bad = 1
    }
    END { exit bad || NR != 4 }' "$dir/run/report.html"

# ---- confusions ----
check "the matrix adds up to the validation images" awk 'BEGIN { RS = "<td" } / style="--v/ { sub(/^[^>]*>/, ""); s += $0 } END { exit s != 18 }' \
    "$dir/run/report.html"
check "the page of a run without validation data says why" says "$dir/plain/report.html" "Not shown: the run has no validation data"
cp -r "$dir/run" "$dir/moved"
sed -i "s#$dir/val\"#$dir/gone\"#; s#$dir/train\"#$dir/gone\"#" "$dir/moved/config.json"
run "$vitrain" report "$dir/moved"
good "data that is gone" "$dir/moved/report.html"
check "confusions are shown without the data" says "$dir/moved/report.html" "Rows: what the images are"
check "its pictures are not, and it says why" says "$dir/moved/report.html" "images are not at hand: .*gone"
cp -r "$dir/run" "$dir/older"
rm "$dir/older/predictions.safetensors"
run "$vitrain" report "$dir/older" --no-eval
check "--no-eval makes no predictions" says "$dir/older/report.html" "Not shown: the run has left no predictions"
run "$vitrain" report "$dir/older" --quiet
sections_of() { sed -n '/<section id="confusion"/,/<section id="config"/p' "$1"; }
check "else it makes the ones that training left" cmp <(sections_of "$dir/run/report.html") <(sections_of "$dir/older/report.html")
cp -r "$dir/run" "$dir/cut"
head -c 60 "$dir/run/predictions.safetensors" >"$dir/cut/predictions.safetensors"
run "$vitrain" report "$dir/cut"
check "damaged predictions are named" says "$dir/cut/report.html" "Not shown: .*cut/predictions.safetensors"

# Class names from an enemy.
evil='<script>alert(1)<&#x2F;script>"'"'"
for part in train val; do cp -r "$dir/$part" "$dir/evil-$part"; mv "$dir/evil-$part/class1" "$dir/evil-$part/$evil"; done
train --set output="$dir/evil" --set data.train="$dir/evil-train" --set data.val="$dir/evil-val" --set train.epochs=1
good "hostile class names" "$dir/evil/report.html"
check "are shown as they are" says "$dir/evil/report.html" "&lt;script&gt;alert\\(1\\)&lt;&amp;#x2F;script&gt;&quot;&#39;"

# ---- label shares ----
shares=$dir/run/shares.jsonl
check "a line an epoch of how far labels moved" test "$(wc -l <"$shares")" = 3
check "of every layer, adding up" awk 'BEGIN { RS = "\"counts\": " } NR > 1 { sub(/\].*/, ""); sub(/^\[/, ""); k = split($0, c, ", ");
    if (k != 101) bad = 1; layers++ } END { exit bad || layers != 6 }' "$shares"
check "no mixing, no shares" test ! -e "$dir/plain/shares.jsonl"
cp -r "$dir/run" "$dir/gaps"
(echo '{"epoch": 0}' && cat "$shares" && echo '{"epoch": 9, "layers": [{}]}') >"$dir/gaps/shares.jsonl"
run "$vitrain" report "$dir/gaps"
check "lines of shares.jsonl without shares are gaps" test $status = 0
check "and no numbers" sh -c '! grep -qw nan "$1"' - "$dir/gaps/report.html"
check "and the page says why" says "$dir/plain/report.html" "nothing to show: its labels do not move"
check "the page shows them" says "$dir/run/report.html" 'id="chart-shares-layers"'
cp "$shares" "$dir/unbroken"
train --set train.epochs=4
check "a run that goes on continues them" test "$(cut -d, -f1 "$shares" | tr -d '\n')" = '{"epoch": 0{"epoch": 1{"epoch": 2{"epoch": 3'
check "and keeps what was there" cmp -n "$(wc -c <"$dir/unbroken")" "$dir/unbroken" "$shares"
# As if it had been killed after the line was written and before the checkpoint.
cp -r "$dir/run" "$dir/killed"
echo '{"epoch": 4, "layers": []}' >>"$dir/killed/shares.jsonl"
train --set train.epochs=5 --set output="$dir/killed"
check "no line is there twice" test "$(cut -d, -f1 "$dir/killed/shares.jsonl" | sort | uniq -d | wc -l)" = 0 \
    -a "$(wc -l <"$dir/killed/shares.jsonl")" = 5

# ---- windows ----
cat >"$dir/swin.json" <<END
{"model": {"name": "swin", "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2],
           "window_size": 4, "mlp_ratio": 2},
 "data": {"train": "train", "val": "val", "workers": 1, "crop_pct": 1}, "label": {"rule": "tl-align"},
 "train": {"epochs": 1, "batch_size": 8, "accumulate": 1}, "output": "$dir/swin"}
END
run "$vitrain" --config "$dir/swin.json" --quiet
check "a model with windows trains" test $status = 0 -a ! -e "$dir/swin/shares.jsonl"
good "a model with windows" "$dir/swin/report.html"
check "and its page says what cannot be drawn" says "$dir/swin/report.html" "Not shown: attention in windows or stages"

run "$vitrain" report "$dir/run" "$dir/swin" --output "$dir/both3.html"
check "runs differ in keys that only the second has, too" says "$dir/both3.html" \
    "mono\">model.depths</th><td class=\"mono\">[^<]*</td><td class=\"mono\">\\[2, 2\\]"

# ---- an experiment ----
cat >"$dir/e.json" <<END
{"title": "a < b", "base": "tiny.json", "set": {"train.epochs": 2}, "seeds": 2, "output": "$dir/e",
 "arms": {"area": {"set": {"label.rule": "area"}}, "<i>TL": {"set": {"label.rule": "tl-align"}}}}
END
if "$vitrain" experiment "$dir/e.json" --quiet >"$dir/.out" 2>"$dir/.err"; then
    check "an experiment leaves a page" test -s "$dir/e/report.html"
    run "$vitrain" report "$dir/e"
    check "an experiment: report" test $status = 0 -a "$out" = "$dir/e/report.html"
    fails "an experiment beside others" 2 "e: is an experiment, .*: give it alone" \
        "$vitrain" report "$dir/e/area/seed0" "$dir/e" --output "$dir/both.html"
    of_experiment="experiment curves shares config notes"
    good "an experiment" "$dir/e/report.html" "$of_experiment"
    check "its title, arms and curves are there" awk '/<h1>a &lt; b</ { t = 1 } /&lt;i&gt;TL/ { a = 1 }
        /id="chart-accuracy"/ { c = 1 } /4 of 4 runs are finished/ { f = 1 } END { exit !(t && a && c && f) }' "$dir/e/report.html"
    check "and the band of the seeds" says "$dir/e/report.html" 'class="band s1" d="M[0-9]'
    cp -r "$dir/e" "$dir/e2"
    lines_of() { sed -n '/id="chart-test-loss"/,/<\/figure>/p' "$1" | grep -o 'class="line s0" d="[^"]*"'; }
    sed -i '1s/.*/{"epoch": 0, "test_loss"/' "$dir/e2/area/seed1/log.jsonl"
    run "$vitrain" report "$dir/e2" --output "$dir/e2.html"
    check "a damaged line shifts no curve" test -n "$(lines_of "$dir/e2.html")" -a \
        "$(lines_of "$dir/e2.html" | sed 's/.*L//')" = "$(lines_of "$dir/e/report.html" | sed 's/.*L//')"
    rm -rf "$dir/e2/area/seed1"
    : >"$dir/e2/area/seed0/log.jsonl"
    run "$vitrain" report "$dir/e2"
    good "an experiment that lacks runs" "$dir/e2/report.html" "$of_experiment"
    echo '{"arms": 3}' >"$dir/e2/experiment.json"
    fails "an experiment that is none" 1 "experiment.json: expected an object with .arms" "$vitrain" report "$dir/e2"
else
    fail "an experiment" "$dir/.err"
fi

# ---- what cannot be ----
fails "a run that is not there" 1 "nowhere: no such folder" "$vitrain" report "$dir/nowhere"
fails "a folder without a run" 1 "val: no run" "$vitrain" report "$dir/val"
fails "a page that cannot be written" 1 "nowhere/x.html" "$vitrain" report "$dir/run" --output "$dir/nowhere/x.html"
fails "no run" 2 "report needs RUN" "$vitrain" report
mkdir -p "$dir/blocked/report.html"
run "$vitrain" --config "$dir/tiny.json" --set train.epochs=1 --set output="$dir/blocked"
check "training succeeds although its page cannot be written" \
    test $status = 0 -a -n "$(grep 'no report: .*report.html' <<<"$err")"

# ---- in a browser ----
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
# Opens a page in a frame WIDTH wide and prints what is wrong with it; "fine" if nothing is.
browse() { # page, width
    cat >"$dir/frame.html" <<END
<!DOCTYPE html><html><body><iframe id="f" src="file://$1" style="border:0;width:$2px;height:900px"></iframe>
<pre id="out"></pre><script>
onload = () => {
  const d = document.getElementById('f').contentDocument, root = d.documentElement, wrong = [];
  if (root.scrollWidth > root.clientWidth) wrong.push('scrolls: ' + root.scrollWidth + ' of ' + root.clientWidth);
  for (const id of '${3:-$sections}'.split(' ')) {
    const s = d.getElementById(id);
    if (!s || s.getBoundingClientRect().height < 20) wrong.push('section ' + id);
  }
  for (const svg of d.querySelectorAll('figure svg[role=img]'))
    if (svg.getBoundingClientRect().height < 60 || !svg.querySelector('path:not([d=""]),circle')) wrong.push('svg');
  if (d.querySelectorAll('figure svg[role=img]').length < 3) wrong.push('charts');
  for (const img of d.images) if (!img.naturalWidth || !img.alt) wrong.push('img ' + img.alt);
  document.getElementById('out').textContent = 'RESULT ' + (wrong.join('; ') || 'fine') + ' END';
};
</script></body></html>
END
    timeout 100 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --allow-file-access-from-files \
        --user-data-dir="$dir/browser" --enable-logging=stderr --window-size=1400,1000 --dump-dom \
        "file://$dir/frame.html" >"$dir/dom" 2>"$dir/console"
    grep -o '>RESULT .* END<' "$dir/dom"
    grep 'CONSOLE' "$dir/console"
}
opens() { # name, page, width
    local said
    said=$(browse "$2" "$3" "${4:-$sections}")
    echo "$said" >"$dir/said"
    if [ "$said" = ">RESULT fine END<" ]; then pass "$1, $3 px"; else fail "$1, $3 px" "$dir/said"; fi
}
if [ -n "$browser" ]; then
    opens "a run in a browser" "$dir/run/report.html" 390
    opens "a run in a browser" "$dir/run/report.html" 1200
    opens "two runs in a browser" "$dir/both.html" 390 "$several"
    opens "an experiment in a browser" "$dir/e/report.html" 390 "$of_experiment"
else
    skip "in a browser: Chromium is not installed"
fi
finish
