#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/instructions_power.sh [CC...]: the same program twice has the same counts of instructions, and 2 % more work in one kernel of a
# copy of the sources is found, with each of the compilers (gcc, clang). Minutes: it builds them all.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- gcc clang
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$dir/tree"
git ls-files -z | xargs -0 cp --parents -t "$dir/tree"
stored=$dir/tree/bench/instructions.json
kernel=conv3x3_forward step='tinycnn, 32 samples'
passed=0 failed=0

check() { # check WHAT STATUS: 0 is a pass
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
        echo "passed: $1"
    else
        failed=$((failed + 1))
        echo "FAIL: $1"
        cat "$dir/out"
    fi
}
plant() { # plant ROUNDS: the first convolution does so many useless rounds whenever it is called
    cp "simd/$kernel.c" "$dir/tree/simd/$kernel.c"
    sed -i "/^void SHK_KERNEL($kernel)/a\\
    volatile float planted = 1; volatile int rounds = $1; for (int i = 0; i < rounds \\&\\& c->cin == 1; i++) planted = planted * 0.5f;" "$dir/tree/simd/$kernel.c"
    grep -q "rounds = $1;" "$dir/tree/simd/$kernel.c"
    build
}
build() { # for a kernel as it is in the tree
    make -s -j"$(nproc)" -C "$dir/tree" CC="$compiler" BUILD="$dir/$compiler" "$dir/$compiler/shikaku"
}
count() { "$dir/tree/scripts/instructions" "$@" "$dir/$compiler/shikaku" >"$dir/out" 2>&1; }
of_kernel() { # of_kernel: its instructions in the last table of that step
    awk -v step="$step" -v kernel="$kernel" 'index($0, step) == 1 { in_step = 1 } in_step && $1 == kernel { print $2; exit }' "$dir/out"
}

for compiler; do
    build
    status=0
    count --store && cp "$stored" "$dir/first" && count --store && cmp -s "$stored" "$dir/first" || status=$?
    check "$compiler: the same program twice has the same counts" $status
    base=$(of_kernel)

    plant 1000
    count
    long=$(of_kernel)
    for percent in 0.5 2; do
        plant "$(awk -v base="$base" -v long="$long" -v part="$percent" 'BEGIN { printf "%d", 1000 * part / 100 * base / (long - base) + 0.5 }')"
        status=0
        count --check || status=$?
        more=$(awk -v base="$base" -v now="$(of_kernel)" 'BEGIN { printf "%.2f", 100 * (now / base - 1) }')
        found=$(grep '^MORE: ' "$dir/out" || :)
        if [ "$percent" = 2 ]; then
            [ $status -eq 3 ] && [ "$found" = "MORE: $step: $kernel" ] && status=0 || status=1
            check "$compiler: $more % more in $kernel are found, and nothing else" $status
        else
            check "$compiler: $more % more in $kernel are let pass" $status
        fi
    done
    cp "simd/$kernel.c" "$dir/tree/simd/$kernel.c"
done
echo "instructions_power: $passed passed, $failed failed"
[ $failed -eq 0 ]
