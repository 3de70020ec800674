#!/usr/bin/env bash
# scripts/setup.sh against a made-up machine: a PATH of stand-ins that say what is there, and an
# apt-get that writes down what it was asked and "installs" it.
. tests/cli/lib.sh

if [ ! -r /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
    skip "set-up: needs dataset-fashion-mnist"
    finish
    exit
fi

bin=$dir/bin
mkdir "$bin"
for tool in bash cat env grep make; do ln -s "$(command -v $tool)" "$bin/$tool"; done
stub() { # name, text
    printf '#!/bin/bash\n%s\n' "$2" >"$bin/$1"
    chmod +x "$bin/$1"
}
stub cc 'exit 0'
stub id 'echo 0'
stub pkg-config "grep -qx \"\$2\" $dir/there"
stub apt-get "echo \"\$*\" >>$dir/asked; case \"\$*\" in *install*libcjson*) echo libcjson >>$dir/there;; esac"
setup() { run env PATH="$bin" bash scripts/setup.sh; }
all="openblas libpng libjpeg zlib libcjson cmocka"
have() { tr " " "\n" <<<"$1" >"$dir/there"; rm -f "$dir/asked"; }

have "$all"
setup
check "nothing is done where all is there" test "$status$out$err" = 0 -a ! -e "$dir/asked"

have "${all/libcjson/}"
setup
check "what is missing is installed" grep -q "install.* libcjson-dev$" "$dir/asked"
check "and named" test $status = 0 -a "${out#*libcjson-dev}" != "$out"

have "${all/libpng/}"
setup
check "what stays missing is an error" test $status = 1 -a "${err#*libpng-dev}" != "$err"

have "$all"
rm "$bin/apt-get"
setup
check "without apt: nothing is said where all is there" test "$status$out$err" = 0
have "${all/zlib/}"
setup
check "without apt: a needed one is told, exit 1" test $status = 1 -a "${err#*zlib1g-dev}" != "$err"
finish
