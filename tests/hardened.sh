#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/hardened.sh [--build]: the flags with which distributions harden programs arrive, but kernels have no stack protector.
# Two files are compiled for that; --build: the whole program, with Debian's flags, and it is held against BUILD=build/gcc.
set -eu
cd "$(dirname "$0")/.."
case ${MAKEFLAGS:-} in
*' -- '*) MAKEFLAGS="-- ${MAKEFLAGS#* -- }" ;; # the variables of an outer make, not its job server
*) [ "${1:-}" = --build ] || MAKEFLAGS= ;;
esac
export MAKEFLAGS="${MAKEFLAGS:-}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
protected() { nm "$1" | grep -q __stack_chk_fail; }

if [ "${1:-}" != --build ]; then
    make -s BUILD="$dir" CFLAGS='-O2 -fstack-protector-all' "$dir/simd/relu.c.o" "$dir/src/base/text.o"
    protected "$dir/src/base/text.o"
    if protected "$dir/simd/relu.c.o"; then exit 1; fi
    make -n BUILD="$dir" LDFLAGS=-Wl,-z,relro,-z,now V=1 "$dir/shikaku" | grep -q -- "-Wl,-z,relro,-z,now .* -o $dir/shikaku"
    echo 'hardened: 1 passed, 0 failed'
    exit 0
fi

build=build/debian program=build/debian/shikaku
flags=$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --export=sh)
(eval "$flags" && make BUILD=$build)
readelf -hW $program | grep -q 'Type: *DYN (Position-Independent Executable'
readelf -lW $program | grep -q GNU_RELRO
readelf -dW $program | grep -q BIND_NOW
nm $program | grep -q __snprintf_chk
protected $program
for object in "$build"/simd/*.*.o; do
    if protected "$object"; then echo "$object has a stack protector" && exit 1; fi
done
weights() { "$1" compare --epochs 1 | sed -n 's/.*weights \([0-9a-f]*\)$/\1/p'; }
[ "$(weights $program)" = "$(weights build/gcc/shikaku)" ]
tests/symbols.sh $build
echo 'hardened: 1 passed, 0 failed'
