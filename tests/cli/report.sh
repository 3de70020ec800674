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

sections="summary curves config notes"
has_sections() { # page
    for id in $sections; do
        grep -q "<section id=\"$id\"" "$1" || { echo "no section $id"; return 1; }
    done
}
says() { grep -qE -- "$2" "$1"; } # page, pattern
good() { # name, page
    check "$1: well-formed" well_formed "$2"
    check "$1: every section" has_sections "$2"
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
good "two runs" "$dir/both.html"
check "two runs: where they differ" says "$dir/both.html" "mono\">label.rule</th><td class=\"mono\">tl-align</td><td class=\"mono\">area"

cp -r "$dir/run" "$dir/damaged"
sed -i '2s/.*/{"epoch": 1, "train_loss"/' "$dir/damaged/log.jsonl"
echo 'no json' >"$dir/damaged/config.json"
run "$vitrain" report "$dir/damaged"
check "a damaged log is reported nonetheless" test $status = 0
good "a damaged log" "$dir/damaged/report.html"
check "and named" says "$dir/damaged/report.html" "log.jsonl: 1 damaged line left out, the first is line 2"
check "so is a damaged configuration" says "$dir/damaged/report.html" "config.json is missing or damaged"

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
  for (const id of '$sections'.split(' ')) {
    const s = d.getElementById(id);
    if (!s || s.getBoundingClientRect().height < 20) wrong.push('section ' + id);
  }
  for (const svg of d.querySelectorAll('figure svg[role=img]'))
    if (svg.getBoundingClientRect().height < 60 || !svg.querySelector('path').getAttribute('d')) wrong.push('svg');
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
    said=$(browse "$2" "$3")
    echo "$said" >"$dir/said"
    if [ "$said" = ">RESULT fine END<" ]; then pass "$1, $3 px"; else fail "$1, $3 px" "$dir/said"; fi
}
if [ -n "$browser" ]; then
    opens "a run in a browser" "$dir/run/report.html" 390
    opens "a run in a browser" "$dir/run/report.html" 1200
    opens "two runs in a browser" "$dir/both.html" 390
else
    skip "in a browser: Chromium is not installed"
fi
finish
