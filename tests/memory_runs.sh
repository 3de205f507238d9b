#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/memory_runs.sh BIN: trainings in little memory (ulimit -v, and a control group where one can be made) end in success or
# in one clear sentence with exit code 1.
set -u
bin=${1:?usage: memory_runs.sh BIN}
dir=$(mktemp -d) || exit 1
group=/sys/fs/cgroup/memory/shikaku-test-$$ # of version 1, where there is one that we may use
trap 'rm -rf "$dir"; rmdir "$group" 2>"$dir-no" || true; rm -f "$dir-no"' EXIT
trap 'exit 1' HUP INT TERM
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
passed=0 failed=0 succeeded=0 refused=0 foreign=0 reference=

fail() {
    failed=$((failed + 1))
    printf 'FAIL: %s, exit %d\n' "$1" "$status"
    sed 's/^/    /' "$dir/out" "$dir/err"
}

# Success is the same weights as ever; failure one sentence. Where not even --version runs, the loader, or the OpenMP runtime
# before main, has ended the process.
judge() { # judge LIMIT
    hash=$(sed -n 's/.*weights //p' "$dir/out")
    grep -v -e '^shikaku: warning: ' "$dir/err" >"$dir/lines"
    if [ "$status" -eq 0 ] && [ ! -s "$dir/lines" ] && [ -n "$hash" ] && [ "$hash" = "${reference:=$hash}" ]; then
        passed=$((passed + 1)) succeeded=$((succeeded + 1))
    elif [ "$status" -eq 1 ] && [ "$(wc -l <"$dir/lines")" -eq 1 ] && grep -q '^shikaku: .\{10,\}' "$dir/lines"; then
        passed=$((passed + 1)) refused=$((refused + 1))
    elif ! limited "$1" --version >"$dir/no" 2>&1; then
        foreign=$((foreign + 1))
    else
        fail "$1 KiB"
    fi
}

# limited LIMIT ARGUMENT...: in so many KiB of address space, 0 for no limit
limited() {
    limit=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 60 sh -c '[ "$1" -eq 0 ] || ulimit -v "$1"; shift; exec "$@"' limits "$limit" "$bin" "$@"
}

train() { # train LIMIT OPTION...
    most=$1
    shift
    limited "$most" train --epochs 1 --threads 2 "$@" >"$dir/out" 2>"$dir/err"
    status=$?
}

# Sanitizers take terabytes of address space.
if ! "$(dirname "$0")/sanitized.sh" "$bin"; then
    small='--model cnn:channels=2,hidden=0 --train-samples 40 --test-samples 10'
    for kib in 0 $(seq 1000 200 37000) 50000 100000 200000 400000; do
        # shellcheck disable=SC2086 # words
        train "$kib" $small 2>"$dir/no"
        judge "$kib" 2>"$dir/no"
    done
    if [ "$succeeded" -le 1 ] || [ "$refused" -eq 0 ]; then fail 'ulimit -v: neither success nor refusal was seen'; fi
fi

# A set of images that no machine holds.
train 0 --model tinycnn --train-samples 10000000 --size 256
if [ "$status" -eq 1 ] && grep -Eqx 'shikaku: out of memory: 2.4 TiB for images(, but [0-9.]+ .iB are available)?' "$dir/err"; then
    passed=$((passed + 1))
else
    fail '2.4 TiB of images'
fi

# in_group ARGUMENT...: in the control group
in_group() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    timeout 60 sh -c 'echo $$ >"$1/tasks" && shift && exec "$@"' group "$group" "$bin" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
}

# A control group of 256 MiB: 655 MiB of images are refused, instead of the kernel killing the process.
if ! "$(dirname "$0")/sanitized.sh" "$bin" --threads && mkdir "$group" 2>"$dir/no" && echo 268435456 >"$group/memory.limit_in_bytes"; then
    in_group train --model tinycnn --epochs 1 --threads 2 --train-samples 2500 --size 256
    if [ "$status" -eq 1 ] && grep -Eqx 'shikaku: out of memory: 625.0 MiB for images, but [0-9]{1,3}\.[0-9] MiB are available' "$dir/err"; then
        passed=$((passed + 1))
    else
        fail 'a control group of 256 MiB'
    fi
    # One of 128 MiB, and 156 MiB of images in a file: refused with both figures without a cache, and mapped with one.
    echo 134217728 >"$group/memory.limit_in_bytes"
    idx() { # idx FOLDER N DIGITS: N images of 64x64, and their labels; N in octal escapes
        mkdir "$dir/$1"
        { printf "\\000\\000\\010\\003$3\\000\\000\\000\\100\\000\\000\\000\\100" && yes 'some fourteen' | head -c $(($2 * 4096)); } >"$dir/$1/train-images-idx3-ubyte"
        { printf "\\000\\000\\010\\001$3" && yes 2>"$dir/no" | head -c "$2" | tr 'y\n' '\000\001'; } >"$dir/$1/train-labels-idx1-ubyte"
    }
    idx small 100 '\000\000\000\144'
    idx large 40000 '\000\000\234\100'
    sleep 2.1 # by then, the clock of files tells a change from what is there
    train 0 --data "$dir/small" --model cnn:channels=1,hidden=0 --out "$dir/run" --cache none
    set -- eval "$dir/run/last.ckpt" --data "$dir/large" --split 0.9 --threads 2 --cache
    in_group "$@" none
    if [ "$status" -eq 1 ] && grep -Eqx 'shikaku: out of memory: 156\.2 MiB for images, but [0-9]{1,3}\.[0-9] MiB are available; with a cache .*' "$dir/err"; then
        passed=$((passed + 1))
    else
        fail '156 MiB of a file'
    fi
    for what in made found; do
        in_group "$@" "$dir/cache"
        loss=$(grep -o 'test loss: .*, weights' "$dir/out")
        if [ "$status" -eq 0 ] && [ -n "$loss" ] && [ "${first:=$loss}" = "$loss" ]; then passed=$((passed + 1)); else fail "a cache of 156 MiB, $what"; fi
    done
fi

echo "$succeeded done, $refused refused in a sentence, $foreign ended before main"
echo "memory_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
