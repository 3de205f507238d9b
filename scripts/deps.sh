#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/deps.sh [--checks | --all]: installs what building and testing need on Debian and Ubuntu, and calls apt only if
# something is missing. --checks: also what CI needs (clang, cross compiler, emulator); --all: also what writes the golden
# files and compares with PyTorch and oneDNN. On other systems it looks for the compiler and the headers and names what is missing.
set -eu

base='gcc g++ make pkg-config libc6-dev binutils libbenchmark-dev libcmocka-dev libhwloc-dev libjansson-dev librandom123-dev libxxhash-dev'
checks='clang libomp-dev clang-format qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross libcmocka-dev:arm64 libgomp1:arm64'
all='python3-torch python3-numpy libopenblas0-openmp libdnnl-dev valgrind'

case "$#:${1:-}" in
0:) wanted=$base ;;
1:--checks) wanted="$base $checks" ;;
1:--all) wanted="$base $checks $all" ;;
*) echo "usage: scripts/deps.sh [--checks | --all]" >&2 && exit 2 ;;
esac

installed() { # installed PACKAGE
    dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -qx 'install ok installed' # a line per architecture
}

has_header() { # has_header NAME: can the C compiler find it, and OpenMP too?
    printf '#include <stddef.h>\n#include <stdarg.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\n' "$1" |
        ${CC:-gcc} -fopenmp -E - >/dev/null 2>&1
}

# Not Debian: what is missing, by what it is for.
elsewhere() {
    missing=
    for tool in ${CC:-gcc} make pkg-config; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    for header in xxhash.h Random123/philox.h hwloc.h jansson.h cmocka.h; do
        has_header "$header" || missing="$missing $header"
    done
    if [ -z "$missing" ]; then
        echo 'deps.sh: the compiler and the headers are there (Google Benchmark is needed for make bench only)'
        exit 0
    fi
    cat >&2 <<END
deps.sh: this is not Debian or Ubuntu, and here is missing:$missing
Please install, under the names of your system: gcc or clang with OpenMP, GNU make, pkg-config, hwloc, jansson, xxHash, Random123, cmocka
and Google Benchmark (development files). On Fedora: gcc gcc-c++ make pkgconf hwloc-devel jansson-devel libcmocka-devel
xxhash-devel google-benchmark-devel, and Random123's headers (https://github.com/DEShawResearch/random123) in /usr/include/Random123.
END
    exit 1
}

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then elsewhere; fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "deps.sh: please run as root, or install sudo: $*" >&2
        exit 1
    fi
}

install_missing() { # install_missing PACKAGE...: those that are not there
    missing=
    for package in "$@"; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "deps.sh: installing$missing"
    case $missing in # what the emulated tests link with
    *:arm64*) as_root dpkg --add-architecture arm64 ;;
    esac
    as_root apt-get update -q
    # shellcheck disable=SC2086 # words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}

# shellcheck disable=SC2086 # words
install_missing $wanted

# clang's sanitizers: part of clang in some releases, in others a package named after its version.
if [ "$wanted" != "$base" ] && [ ! -e "$(clang -print-resource-dir)/lib/linux/libclang_rt.tsan-$(uname -m).a" ]; then
    version=$(clang -dumpversion)
    install_missing "libclang-rt-${version%%.*}-dev"
fi
