#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/cache_faults.sh BIN SHIM [--quick]: trainings that write a cache of decoded images, and trainings that find one, with one
# failed call, once for each call of their own and each way in which that can fail, with a disk that is full from some write on, and
# with SIGKILL right before and right after each call that changes files. A run ends with the weights of a run without faults, or in
# one sentence; the next one always ends with these weights, and leaves one whole file in the cache.
# SHIM: faults.so of tests/faults/faults.c. --quick: a part of the calls.
set -u
# shellcheck disable=SC3045 # dash and bash have it
ulimit -c 0
shim=${2:?usage: cache_faults.sh BIN SHIM [--quick]} quick=${3:-}
case $shim in /*) ;; *) shim=$PWD/$shim ;; esac
# shellcheck source=tests/begin_runs.sh
. "$(dirname "$0")/begin_runs.sh"

finish() {
    echo "cache_faults: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
if "$tests/sanitized.sh" "$bin"; then
    echo 'not with a sanitizer: it makes these calls itself'
    finish
fi

# 1,400 images of 28x28 pixels, packed, so that they are worth keeping
mkdir data
{ printf '\000\000\010\003\000\000\005\170\000\000\000\034\000\000\000\034' && yes 'some thirteen ' | head -c 1097600; } |
    gzip -1n >data/train-images-idx3-ubyte.gz
{ printf '\000\000\010\001\000\000\005\170' && yes 2>/dev/null | head -c 1400 | tr 'y\n' '\000\001'; } | gzip -1n >data/train-labels-idx1-ubyte.gz
sleep 2.1 # by then, the clock of files tells a change from what is there

# train FAULT REPORT: with the cache in ./cache; 20 seconds at most
train() {
    timeout -s QUIT 20 env ${1:+"LD_PRELOAD=$shim" "SHIKAKU_FAULT=$1" "SHIKAKU_FAULT_REPORT=$2"} \
        "$bin" train --data data --cache cache --model cnn:channels=2,hidden=0 --epochs 1 --batch 200 --threads 2 >out 2>err
}
weights() { sed -n 's/.*weights //p' out; }

# prepare SETUP: nothing is kept, or all is
prepare() {
    rm -rf cache
    [ "$1" = write ] || cp -r kept cache
}

train '' '' && reference=$(weights) && [ -n "$reference" ] && cp -r cache kept
check 'the reference' $?
for setup in write find; do
    prepare $setup
    train count "$PWD/calls.$setup"
    status=$?
    if [ $status -eq 99 ]; then
        cat err
        finish
    fi
    [ $status -eq 0 ] && [ "$(weights)" = "$reference" ]
    check "counting the calls of setup $setup" $?
done

# How a kind of call can fail.
ways() {
    case $1 in
    alloc | map | break) echo ENOMEM ;;
    read) echo EIO EINTR SHORT ;;
    write) echo ENOSPC EIO EINTR SHORT KILL-BEFORE KILL-AFTER ;;
    open) echo EACCES EMFILE ENOSPC EINTR KILL-BEFORE KILL-AFTER ;;
    truncate) echo EIO ENOSPC EINTR KILL-BEFORE KILL-AFTER ;;
    fsync | rename | unlink | close | mkdir | lock) echo EIO ENOSPC KILL-BEFORE KILL-AFTER ;;
    stat) echo EIO ;;
    esac
}
every() {
    case $quick$1 in
    --quickalloc | --quickread | --quickopen | --quickclose | --quickstat) echo 30 ;;
    --quick*) echo 3 ;;
    *) echo 1 ;;
    esac
}
for setup in write find; do
    for kind in $(awk '$3 == "own" { print $1 }' calls.$setup | sort -u); do
        awk -v kind="$kind" -v step="$(every "$kind")" '$1 == kind && $3 == "own" && n++ % step == 0 { print $2 }' calls.$setup |
            while read -r number; do
                for way in $(ways "$kind"); do echo "$setup $kind $number $way"; done
                case $kind in write | fsync | truncate) echo "$setup $kind $number+ ENOSPC" ;; esac
            done
    done
done >list
while read -r setup kind number way; do
    prepare "$setup"
    train "$kind:$number:$way" "$PWD/report" 2>no # the shell's own words on killed programs
    status=$?
    grep -v '^shikaku: warning: ' err >lines
    case $status$way in
    0*) [ "$(weights)" = "$reference" ] && [ ! -s lines ] ;;
    1[A-Z]* | 2[A-Z]*) [ "$(wc -l <lines)" -eq 1 ] && grep -q '^shikaku: [^ ].\{9,\}' lines ;;
    137KILL*) true ;;
    *) false ;;
    esac
    check "$setup $kind $number $way: exit $status" $?
    train '' ''
    [ "$(weights)" = "$reference" ] && [ "$(find cache -type f | wc -l)" -eq 1 ] && [ -e cache/*.set ]
    check "$setup $kind $number $way: the run after it: $(ls cache)" $?
done <list

finish
