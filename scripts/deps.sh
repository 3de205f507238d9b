#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/deps.sh [--bench | --checks | --all]: installs what is missing, on Debian and Ubuntu, of what `make`, `make demo` and
# `make test` need. --bench: of what `make bench` needs; --checks: of what .ci/run needs (also clang, cross compiler,
# emulator); --all: also what writes the golden files and compares with PyTorch and oneDNN. Where it may not install, or on
# other systems, it says what an administrator has to do, and fails only without what is needed.
# shellcheck disable=SC2086 # lists of words
set -eu

build='gcc libc6-dev make libhwloc-dev libjansson-dev libjpeg-dev libpng-dev librandom123-dev libxxhash-dev libminizip-dev zlib1g-dev'
tests='libcmocka-dev pkg-config python3'
bench='g++ libbenchmark-dev'
checks="$tests $bench"' clang libomp-dev clang-format qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross libcmocka-dev:arm64 libgomp1:arm64 valgrind'
all='python3-torch python3-torchvision python3-numpy libopenblas0-openmp libdnnl-dev'

# Without what is useful only, it goes on.
useful=
case "$#:${1:-}" in
0:) needed=$build useful=$tests ;;
1:--bench) needed="$build $bench" ;;
1:--checks) needed="$build $checks" ;;
1:--all) needed="$build $checks $all" ;;
*) echo "usage: scripts/deps.sh [--bench | --checks | --all]" >&2 && exit 2 ;;
esac

includes() { # includes COMPILER NAME: can it find the header, and OpenMP too?
    printf '#include <stddef.h>\n#include <stdarg.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <setjmp.h>\n#include <%s>\n' "$2" |
        $1 -fopenmp -E - >/dev/null 2>&1
}

# there PACKAGE: is what it brings here, wherever it came from? A line of dpkg-query is one architecture.
there() {
    case $1 in
    gcc) command -v ${CC:-gcc} >/dev/null 2>&1 ;;
    g++) command -v ${CXX:-g++} >/dev/null 2>&1 ;;
    make | pkg-config | python3 | clang | clang-format | valgrind) command -v "$1" >/dev/null 2>&1 ;;
    libc6-dev) includes "${CC:-gcc}" stdio.h ;;
    libhwloc-dev) includes "${CC:-gcc}" hwloc.h ;;
    libjansson-dev) includes "${CC:-gcc}" jansson.h ;;
    libjpeg-dev) includes "${CC:-gcc}" jpeglib.h ;;
    libpng-dev) includes "${CC:-gcc}" png.h ;;
    libminizip-dev) includes "${CC:-gcc}" minizip/unzip.h ;;
    zlib1g-dev) includes "${CC:-gcc}" zlib.h ;;
    librandom123-dev) includes "${CC:-gcc}" Random123/philox.h ;;
    libxxhash-dev) includes "${CC:-gcc}" xxhash.h ;;
    libcmocka-dev) includes "${CC:-gcc}" cmocka.h ;;
    libbenchmark-dev) includes "${CXX:-g++} -x c++" benchmark/benchmark.h ;;
    *) dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -qx 'install ok installed' ;;
    esac
}

missing() { # missing PACKAGE...: those that are not there
    absent=
    for package in "$@"; do
        there "$package" || absent="$absent $package"
    done
    echo $absent
}

installation() { # installation PACKAGE...: the command that installs them
    case "$*" in # what the emulated tests link with
    *:arm64*) printf 'dpkg --add-architecture arm64 && ' ;;
    esac
    echo "apt-get update -q && env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $*"
}

may_sudo() { # does sudo let this user, after a password where there is somebody to type it?
    command -v sudo >/dev/null 2>&1 || return 1
    sudo -n true 2>/dev/null || { [ -t 0 ] && id -Gn | grep -Eqw 'sudo|admin|wheel'; }
}

say_how() { # say_how PACKAGE...: what to do, for someone who may
    if command -v apt-get >/dev/null 2>&1; then
        printf 'An administrator has to run:\n    %s\n' "$(installation "$@")"
    else
        cat <<END
This is not Debian or Ubuntu: please install what they call $*, under the names of your system. On Fedora everything is: gcc gcc-c++
make pkgconf hwloc-devel jansson-devel libjpeg-turbo-devel libpng-devel libminizip-devel zlib-devel libcmocka-devel xxhash-devel
google-benchmark-devel, and Random123's headers (https://github.com/DEShawResearch/random123) in /usr/include/Random123.
END
    fi
}

get() { # get PACKAGE...: installs them, or says how
    echo "deps.sh: missing: $*"
    run=false
    if ! command -v apt-get >/dev/null 2>&1; then
        :
    elif [ "$(id -u)" -eq 0 ]; then
        run='sh -c'
    elif may_sudo; then
        run='sudo sh -c'
    fi
    $run "$(installation "$@")" || say_how "$@"
}

provide() { # provide PACKAGE...: gets those that are not there, and ends where they are needed and still missing
    # shellcheck disable=SC2046
    set -- $(missing "$@")
    [ "$#" -eq 0 ] || get "$@" >&2
    absent=$(missing "$@")
    if [ -n "$absent" ] && [ -n "$(missing $needed)" ]; then
        echo "deps.sh: cannot go on without $(missing $needed)" >&2
        exit 1
    elif [ -n "$absent" ]; then
        echo "deps.sh: enough for make and make demo; make test also needs $absent" >&2
    fi
}

provide $needed $useful

# clang's sanitizers: part of clang in some releases, in others a package named after its version.
case $needed in
*' clang '*)
    if [ ! -e "$(clang -print-resource-dir)/lib/linux/libclang_rt.tsan-$(uname -m).a" ]; then
        version=$(clang -dumpversion)
        needed=libclang-rt-${version%%.*}-dev
        provide "$needed"
    fi
    ;;
esac
