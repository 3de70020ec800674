# shellcheck shell=bash disable=SC2034
# Sourced by the tests of the command line. Each test prints TAP; `finish` prints the plan. Run from
# the repository root, with VT_BUILD naming the build folder (build/release if unset).
set -u
build=$PWD/${VT_BUILD:-build/release}
vitrain=$build/vitrain
material=$build/tests/material
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tests=0

pass() { echo "ok $((++tests)) - $1"; }
skip() { echo "ok $((++tests)) # SKIP $1"; }
fail() { # name, file to show...
    echo "not ok $((++tests)) - $1"
    shift
    if [ $# -gt 0 ]; then tail -n 20 "$@" 2>&1 | sed 's/^/# /'; fi
}
check() { # name, command...: passes if the command succeeds
    local name=$1
    shift
    if "$@" >"$dir/.check" 2>&1; then pass "$name"; else fail "$name" "$dir/.check"; fi
}
# The one that "auto" chose for a run.
precision_of() { sed -n 's/.*"precision": *"\([a-z0-9]*\)".*/\1/p' "$1/config.json"; } # run folder
finish() { echo "1..$tests"; }

# Runs a command; leaves its exit status in $status, its answer in $out, its messages in $err.
run() {
    "$@" >"$dir/.out" 2>"$dir/.err" </dev/null
    status=$?
    out=$(cat "$dir/.out") err=$(cat "$dir/.err")
}

# Whether a command fails with this exit status and says one line on stderr that matches the pattern.
fails() { # name, status, pattern, command...
    local name=$1 want=$2 pattern=$3
    shift 3
    run "$@"
    if [ $status = "$want" ] && [ "$(wc -l <"$dir/.err")" = 1 ] && grep -qE -- "$pattern" "$dir/.err"
    then pass "$name"
    else
        echo "wanted status $want and one line matching '$pattern'; got status $status" >"$dir/.why"
        fail "$name" "$dir/.why" "$dir/.err"
    fi
}

number() { sed -n "s/.*\"$1\": *\([-+.e0-9]*\).*/\1/p" <<<"$out"; } # of a key in a JSON answer
holds() { awk "BEGIN { exit !($1) }"; }                               # an inequality of numbers

# A small problem in $dir: train/ and val/ of three classes, tiny.json for a ViT that learns it in
# seconds, and its run's folder $dir/run.
tiny_problem() {
    "$material" images "$dir/train" 3 16 20 && "$material" images "$dir/val" 3 6 16
    cat >"$dir/tiny.json" <<END
{
  "model": {"name": "vit", "image_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2,
            "num_heads": 2, "mlp_ratio": 2, "drop_path": 0.1, "drop": 0.1},
  "data": {"train": "train", "val": "val", "workers": 2, "mean": [0.4, 0.4, 0.4], "crop_pct": 1},
  "mix": {"cutmix": 1.0, "mixup": 0.8, "smoothing": 0.1},
  "label": {"rule": "tl-align"},
  "optim": {"name": "adamw", "lr": 0.003, "lr_base_batch": null},
  "schedule": {"name": "cosine", "warmup_epochs": 1},
  "train": {"epochs": 3, "batch_size": 8, "accumulate": 2, "log_every": 1},
  "output": "$dir/run"
}
END
}
