#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/bench_power.sh [TRIALS [CASE...]]: counts how often bench-compare is right. One kernel of a copy of the sources takes longer, for
# TinyCNN's shapes alone, so that a training step does by as much as is wanted; CASE is same, slower, little, busy-same or busy-slower
# (all). Some 50 minutes for 20 trials, on a machine that does nothing else. Make `make` first.
set -eu
cd "$(dirname "$0")/.."
trials=${1:-20}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- same slower little busy-same busy-slower
bin=$PWD/build/gcc/shikaku
dir=$(mktemp -d)
neighbour=
trap 'rm -rf "$dir"; [ -z "$neighbour" ] || kill "$neighbour"' EXIT
trap 'exit 1' HUP INT TERM

plant() { # plant ROUNDS: makes $dir/planted, whose first convolution does so many useless rounds for each image
    mkdir -p "$dir/tree"
    git ls-files -z | xargs -0 cp --parents -t "$dir/tree"
    sed -i "/^void SHK_KERNEL(conv3x3_forward)/a\\
    volatile float planted = 1; for (int i = 0; i < $1 \\&\\& c->cin == 1; i++) planted = planted * 0.5f;" "$dir/tree/simd/conv3x3_forward.c"
    grep -q "i < $1 " "$dir/tree/simd/conv3x3_forward.c"
    make -s -j2 -C "$dir/tree" BUILD="$dir/build" "$dir/build/shikaku"
    cp "$dir/build/shikaku" "$dir/planted"
}
seconds_of() { # seconds_of PROGRAM: CPU seconds of a sample of TinyCNN's training
    "$1" bench --models tinycnn --what train --threads 1 --repeats 9 --seconds 0.3 --json - |
        awk -F'[:,]' '/cpu_samples_per_second/ { last = $2 } END { print 1 / last }' # the last one is the median
}
rounds_for() { # rounds_for PART: that make a step longer by that part of it
    awk -v base="$base" -v long="$long" -v part="$1" 'BEGIN { printf "%d", 20000 * part * base / (long - base) }'
}
plant 20000
base=$(seconds_of "$bin") long=$(seconds_of "$dir/planted")

count() { # count CASE SECONDS THRESHOLD PROGRAM: how many trials give which answer
    slower=0 not=0 noisy=0 wrong=0
    for trial in $(seq "$trials"); do
        code=0
        "$bin" bench-compare --seconds "$2" --threshold "$3" "$bin" "$4" -- --models tinycnn,tinyvit-pre --what train --threads 1 \
            >"$dir/out" 2>"$dir/err" || code=$?
        case $code in
        0) not=$((not + 1)) ;;
        3) slower=$((slower + 1)) ;;
        4) noisy=$((noisy + 1)) ;;
        *) cat "$dir/err" && exit 1 ;;
        esac
        if grep -q '^train/tinyvit-pre/.* slower$' "$dir/out" && ! grep -q '^train/tinyvit-pre/.* not slower$' "$dir/out"; then
            wrong=$((wrong + 1))
        fi
        printf '%s %s: %s\n' "$1" "$trial" "$(grep '^train/tinycnn' "$dir/out")"
    done
    printf '%s: %d trials, %d slower, %d not slower, %d too noisy; %d name the other model\n' "$1" "$trials" $slower $not $noisy $wrong
}
must() { # must WHAT CONDITION...
    what=$1
    shift
    if [ "$@" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL: $what"
    fi
}
busy() { # one core has other work
    sh -c 'while :; do :; done' &
    neighbour=$!
}
quiet() { kill $neighbour && neighbour=; }

passed=0 failed=0
for case; do
    case $case in
    same)
        count same 30 5 "$bin"
        must 'equal programs are called slower' $((slower * 20)) -le "$trials"
        ;;
    slower)
        plant "$(rounds_for 0.08)"
        count '8 %' 30 5 "$dir/planted"
        must '8 % are not found' $((slower * 20)) -ge $((trials * 18))
        must 'another model is named' $wrong -eq 0
        ;;
    little)
        plant "$(rounds_for 0.03)"
        count '3 %' 60 2 "$dir/planted"
        must '3 % are not found' $((slower * 20)) -ge $((trials * 15))
        ;;
    busy-same)
        busy && count 'equal, busy' 30 5 "$bin" && quiet
        must 'a wrong verdict' $slower -eq 0
        must 'too noisy too often' $((noisy * 2)) -le "$trials"
        ;;
    busy-slower)
        plant "$(rounds_for 0.08)"
        busy && count '8 %, busy' 30 5 "$dir/planted" && quiet
        must 'a wrong verdict' $((not + wrong)) -eq 0
        must 'too noisy too often' $((noisy * 2)) -le "$trials"
        ;;
    esac
done
echo "bench_power: $passed passed, $failed failed"
[ $failed -eq 0 ]
