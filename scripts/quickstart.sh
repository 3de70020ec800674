#!/usr/bin/env bash
# Trains a small ViT with TL-Align on Fashion-MNIST and evaluates it on the 10,000 test images. Called
# by `make quickstart`, after set-up and build. A second call goes on where the first one ended.
set -euo pipefail
cd "$(dirname "$0")/.."

program=build/release/vitrain
config=configs/quickstart.json
run=runs/quickstart

"$program" --config "$config" --set output="$run" || {
    status=$?
    if [ $status = 2 ] && [ -d "$run" ]; then
        echo "quickstart: to start anew, remove $run" >&2
    fi
    exit $status
}
result=$("$program" eval --config "$config" --checkpoint "$run/model.safetensors" --json)
value() { sed -n "s/.*\"$1\": *\([-+.e0-9]*\).*/\1/p" <<<"$result"; }

echo
printf 'Accuracy on the %d test images: %.2f%% top-1, %.2f%% top-5\n' \
    "$(value n)" "$(value acc1)" "$(value acc5)"
echo "The run's files are in $run:"
ls -C "$run"
