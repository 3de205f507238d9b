#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/install_example.sh [BUILD]: installs what BUILD holds (default: make's default) under a temporary folder, builds the
# example against it with pkg-config alone, and runs it. CC and EXTRA as for make, or those of the make that calls this.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
CC=${CC:-gcc}
case ${MAKEFLAGS:-} in
*' -- '*) MAKEFLAGS="-- ${MAKEFLAGS#* -- }" ;; # the variables of an outer make, not its job server
*) MAKEFLAGS= ;;
esac
export CC MAKEFLAGS
make -s install PREFIX="$dir/usr" ${1:+BUILD="$1"}

PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig
export PKG_CONFIG_PATH
version=$("$dir/usr/bin/shikaku" --version)
[ "${version%% (*}" = "shikaku $(pkg-config --modversion shikaku)" ]
cp tests/example/train_squares.c "$dir"
cd "$dir"
# shellcheck disable=SC2046,SC2086 # words
$CC -std=c11 -O2 -Wall -Wextra -Werror ${EXTRA:-} $(pkg-config --cflags shikaku) train_squares.c $(pkg-config --libs shikaku) \
    -o train_squares
./train_squares >out
cat out
grep -Eq '^test accuracy: (1\.000|0\.9[0-9]{2})$' out

# Packagers install below DESTDIR; the paths inside do not change.
cd "$OLDPWD"
make -s install DESTDIR="$dir/stage" PREFIX=/opt/shikaku ${1:+BUILD="$1"}
[ -x "$dir/stage/opt/shikaku/bin/shikaku" ]
[ -f "$dir/stage/opt/shikaku/share/man/man1/shikaku.1" ]
grep -qx 'prefix=/opt/shikaku' "$dir/stage/opt/shikaku/lib/pkgconfig/shikaku.pc"
echo 'install_example: 1 passed, 0 failed'
