#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/install_example.sh [BUILD]: installs what BUILD holds (default: make's default) under a temporary folder, builds the
# installed example against it with pkg-config alone, runs it, and removes all of it again. CC and EXTRA as for make, or those
# of the make that calls this.
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
umask 077 # what is installed is for everyone all the same
install() { make -s install ${build:+BUILD="$build"} "$@"; }
build=${1:-}
prefix="$dir/the folder & more" # blanks, and what sed takes for more
install PREFIX="$prefix"

# The command, its man page and completion
[ -z "$(nm "$prefix/bin/shikaku" 2>/dev/null)" ]
[ "$(find "$prefix" ! -type d ! -path "$prefix/bin/*" ! -perm 644)" = "" ]
[ "$(find "$prefix" -type d ! -perm 755)" = "" ]
[ -f "$prefix/share/man/man1/shikaku.1" ]
bash -c '. "$1" && complete -p shikaku' - "$prefix/share/bash-completion/completions/shikaku" >/dev/null
grep -q 'MIT License' "$prefix/share/doc/shikaku/LICENSE"
grep -q '^# Changes' "$prefix/share/doc/shikaku/CHANGELOG.md"

# One version: of the command, pkg-config's file, the man page, the headers and the library
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
version=$(pkg-config --modversion shikaku)
printed=$("$prefix/bin/shikaku" --version)
[ "${printed%% (*}" = "shikaku $version" ]
grep -q "^\.TH.*\"shikaku $version\"" "$prefix/share/man/man1/shikaku.1"
cat >"$dir/version.c" <<'END'
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <string.h>
#if SHK_VERSION_NUMBER < SHK_VERSION_OF(0, 1, 0) || SHK_VERSION_NUMBER >= SHK_VERSION_OF(1000, 0, 0)
#error "not a number of versions"
#endif
int main(void) {
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", SHK_VERSION_MAJOR, SHK_VERSION_MINOR, SHK_VERSION_PATCH);
    puts(text);
    return strcmp(text, SHK_VERSION) != 0 || strcmp(text, shk_version()) != 0;
}
END
compile() { # compile PROGRAM FILE: what pkg-config prints is for a shell to read
    eval "$CC -std=c11 -O2 -Wall -Wextra -Werror ${EXTRA:-} $(pkg-config --cflags shikaku) \"\$2\" $(pkg-config --libs shikaku) -o \"\$1\""
}
compile "$dir/version" "$dir/version.c"
[ "$("$dir/version")" = "$version" ]

# The examples
compile "$dir/train_squares" "$prefix/share/doc/shikaku/examples/train_squares.c"
"$dir/train_squares" >"$dir/out"
cat "$dir/out"
grep -Eq '^test accuracy: (1\.000|0\.9[0-9]{2})$' "$dir/out"
compile "$dir/train_folder" "$prefix/share/doc/shikaku/examples/train_folder.c"
"$prefix/bin/shikaku" data make squares "$dir/pictures" --as folder --train-samples 500 --test-samples 20 >"$dir/out"
picture=$(find "$dir/pictures/test/4" -name '*.png' | sort | head -n 1)
"$dir/train_folder" "$dir/pictures/train" "$dir/model.safetensors" "$picture" >"$dir/out"
cat "$dir/out"
grep -Eq '^accuracy on val: (1\.000|0\.9[0-9]{2}) in epoch [0-9]+$' "$dir/out"
grep -Eq '/test/4/[^/]*\.png: 4$' "$dir/out"

# Nothing is left but folders that others use, too.
make -s uninstall ${build:+BUILD="$build"} PREFIX="$prefix"
[ "$(find "$prefix" ! -type d)" = "" ]
[ "$(find "$prefix" -name 'shikaku*')" = "" ]

# Packagers install below DESTDIR, and with the GNU names; the paths inside do not change.
install DESTDIR="$dir/stage" prefix=/opt/shikaku libdir=/opt/shikaku/lib/x86_64-linux-gnu includedir=/opt/headers
[ -x "$dir/stage/opt/shikaku/bin/shikaku" ]
[ -f "$dir/stage/opt/headers/shikaku/version.h" ]
[ -f "$dir/stage/opt/shikaku/lib/x86_64-linux-gnu/libshikaku.a" ]
cat >"$dir/want" <<'END'
prefix=/opt/shikaku
libdir=${prefix}/lib/x86_64-linux-gnu
includedir=/opt/headers
END
head -n 3 "$dir/stage/opt/shikaku/lib/x86_64-linux-gnu/pkgconfig/shikaku.pc" | diff "$dir/want" -

# What cannot be meant is refused in one sentence, before anything is installed.
refused() { # refused PATTERN VARIABLE=VALUE...
    pattern=$1
    shift
    if install DESTDIR="$dir/no" "$@" >"$dir/out" 2>&1; then exit 1; fi
    cat "$dir/out"
    [ "$(wc -l <"$dir/out")" -eq 1 ]
    grep -q "$pattern" "$dir/out"
    [ ! -e "$dir/no" ]
}
refused "PREFIX must be an absolute path such as /.*, not 'usr'" PREFIX=usr
refused "libdir must be an absolute path such as /.*, not ''" libdir=
refused 'PREFIX must not contain "' PREFIX='/a"b'
refused 'LIBDIR has no effect' LIBDIR=/usr/lib64
refused "PREFIX is '/a', but prefix is '/b'" PREFIX=/a prefix=/b
echo 'install_example: 1 passed, 0 failed'
