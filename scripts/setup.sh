#!/usr/bin/env bash
# Installs what vitrain needs and this machine lacks (Debian, Ubuntu: apt, as root or through sudo).
# What is there is found by its presence, not by its package, so anything that the build can use will
# do; when all is there, nothing is done and nothing asked. Elsewhere: prints what is missing.
set -euo pipefail

fashion_mnist=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz

command_there() { command -v "$1" >/dev/null; }
library_there() { command_there pkg-config && pkg-config --exists "$1"; }
header_there() { command_there cc && cc -E - <<<"#include <$1>" >/dev/null 2>&1; }

# package, then how its presence shows
needed() {
    cat <<END
gcc                    command_there cc
libc6-dev              header_there stdio.h
make                   command_there make
pkg-config             command_there pkg-config
libopenblas-dev        library_there openblas || library_there blas-openblas
libpng-dev             library_there libpng
libjpeg-dev            library_there libjpeg
zlib1g-dev             library_there zlib
libcjson-dev           library_there libcjson
libcmocka-dev          library_there cmocka
dataset-fashion-mnist  test -r $fashion_mnist
END
}

missing() {
    local package probe list=
    while read -r package probe; do
        eval "$probe" </dev/null || list+=" $package"
    done < <(needed)
    echo "${list# }"
}

needs=$(missing)
if [ -z "$needs" ]; then exit 0; fi

if ! command_there apt-get; then
    echo "setup: this system has no apt; please install what these Debian packages hold: $needs" >&2
    exit 1
fi

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif command_there sudo; then
    as_root=(sudo)
else
    echo "setup: neither root nor sudo; please install: $needs" >&2
    exit 1
fi
apt() { ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }

echo "setup: installing $needs"
apt update || echo "setup: apt-get update failed; going on with the lists that are there" >&2
# shellcheck disable=SC2086
apt install -y --no-install-recommends $needs
needs=$(missing)
if [ -n "$needs" ]; then
    echo "setup: still missing after the installation: $needs" >&2
    exit 1
fi
