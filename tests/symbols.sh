#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/symbols.sh BUILD: the library's global names begin with shk_, and only the objects of an AVX instruction set hold
# AVX registers, so that the rest runs on any CPU. It prints nothing and never ends the process. Numbers are read in one place.
set -u
build=${1:?usage: symbols.sh BUILD}
nm=${NM:-nm} objdump=${OBJDUMP:-objdump}
passed=0 failed=0

check() { # check WHAT FOUND: a pass if FOUND is empty
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL: %s: %s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')"
    fi
}

symbols=$($nm -g --defined-only "$build/libshikaku.a" | awk 'NF == 3 { print $3 }') || exit 1
[ -n "$symbols" ] || { echo "no symbols in $build/libshikaku.a" && exit 1; }
# Names with two leading underscores belong to the compiler (AddressSanitizer's markers).
check 'global names without shk_' "$(printf '%s\n' "$symbols" | grep -v -e '^shk_' -e '^__')"
# Whatever is printed goes through these functions or these streams. One copy of the process ends itself: that in which a machine's
# file is tried out (machine/described.c).
ends='abort|exit|Exit|quick_exit|assert.*|err|errx|verr|verrx'
prints='perror|warn|warnx|psignal|syslog|printf|vprintf|fprintf|vfprintf|dprintf|vdprintf|puts|putchar|stdout|stderr'
check 'prints or ends the process' "$($nm -A -u "$build/libshikaku.a" | awk '{ print $1 $NF }' |
    grep -E ":_*($ends|$prints)(_unlocked|_chk)?\$" | grep -v ':described\.o:_exit$')"
check 'global names defined twice' "$(printf '%s\n' "$symbols" | grep '^shk_' | sort | uniq -d)"
# Numbers and JSON are read in one place each, where the caller's locale and rounding mode are put aside.
readers='strto[fd]|strtold|atof|localeconv|setlocale'
check 'numbers read elsewhere' "$(find "$build/src" -name '*.o' ! -path "$build/src/base/text.o" -exec "$nm" -A -u {} + |
    awk '{ print $1 $NF }' | grep -E ":_*($readers)(_internal)?(@.*)?\$")"
check 'JSON read or written elsewhere' "$(find "$build/src" -name '*.o' ! -path "$build/src/base/json.o" -exec "$nm" -A -u {} + |
    awk '{ print $1 $NF }' | grep -E ':json_(load|dump)')"

registers() { # registers OBJECT PATTERN: how many lines of the disassembly hold such a register
    $objdump -d --no-show-raw-insn "$1" | grep -c "%$2[0-9]"
}
objects=$(find "$build/simd" "$build/src" -name '*.o' | sort)
[ -n "$objects" ] || { echo "no objects in $build" && exit 1; }
case $($objdump -f "$build/simd/dispatch.o" | sed -n 's/^architecture: \([^,]*\).*/\1/p') in
*x86-64*)
    for object in $objects; do
        case $object in
        *.avx512.o) ;;
        *.avx2.o) check "zmm registers in $object" "$(registers "$object" zmm | grep -vx 0)" ;;
        *) check "ymm or zmm registers in $object" "$(registers "$object" '[yz]mm' | grep -vx 0)" ;;
        esac
    done
    for pair in avx2:ymm avx512:zmm; do # or the tests above look for the wrong thing
        object=$build/simd/gemm.${pair%:*}.o
        [ -f "$object" ] || continue
        check "no ${pair#*:} registers in $object" "$(registers "$object" "${pair#*:}" | grep -x 0)"
    done
    ;;
esac
echo "symbols: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
