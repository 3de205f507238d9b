#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/fault_runs.sh BIN SHIM [--quick]: a small training with one failed call, once for each call that it makes and each way
# in which that can fail; with a disk that is full from some write on; with SIGKILL right before and right after each call that
# changes files; and with the folder moved away, and an empty one in its place, right before each. A run ends in success or in one clear sentence; what was on the disk stays whole; and resuming then gives the same
# result as a run without faults.
# Two setups: a fresh folder, and a half-done run that is resumed. SHIM: faults.so of tests/faults/faults.c. --quick: a part of
# the calls. Calls that libraries make (hwloc, the OpenMP runtime, the loader) are counted apart, and their run may end in any way.
set -u
# shellcheck disable=SC3045 # dash and bash have it
ulimit -c 0
bin=${1:?usage: fault_runs.sh BIN SHIM [--quick]} shim=${2:?usage: fault_runs.sh BIN SHIM [--quick]} quick=${3:-}
case $shim in /*) ;; *) shim=$PWD/$shim ;; esac
tests=$(cd "$(dirname "$0")" && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"; "$tests/forget_killed.sh"' EXIT
trap 'exit 1' HUP INT TERM
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY

options='--model cnn:channels=2,hidden=0 --train-samples 40 --test-samples 10 --epochs 2 --batch 16 --threads 2
    --checkpoint-every 2 --metrics-every 1'

finish() { # finish PASSED FAILED
    echo "fault_runs: $1 passed, $2 failed"
    [ "$2" -eq 0 ]
    exit
}
if "$tests/sanitized.sh" "$bin"; then
    echo 'not with a sanitizer: it makes these calls itself'
    finish 0 0
fi

# with_fault FAULT REPORT COMMAND...: 20 seconds at most
with_fault() {
    fault=$1 report=$2
    shift 2
    timeout -s QUIT 20 env "LD_PRELOAD=$shim" "SHIKAKU_FAULT_FOLDER=$folder" "SHIKAKU_FAULT=$fault" "SHIKAKU_FAULT_REPORT=$report" "$bin" "$@"
}

# start SETUP DIR FAULT REPORT: the training of a setup, in a folder that is made for it
start() {
    folder=$2
    rm -rf "$2" "$2.away"
    if [ "$1" = fresh ]; then
        # shellcheck disable=SC2086 # words
        with_fault "$3" "$4" train $options --out "$2"
    else
        cp -r "$dir/half" "$2" && with_fault "$3" "$4" resume "$2"
    fi
}

hash_of() { sed -n 's/.*done.* weights //p' "$1"; }

# The metrics without what no two runs share.
metrics_of() { sed -E 's/,? *"(time|[a-z_]*seconds|[a-z_]*samples_per_second)": *[-+.0-9e]+//g' "$1/metrics.jsonl"; }

# ---- Reference, a half-done run, and the lists of calls ----

# shellcheck disable=SC2086 # words
"$bin" train $options --out "$dir/reference" >"$dir/out" 2>"$dir/err" || {
    cat "$dir/out" "$dir/err"
    finish 0 1
}
reference=$(hash_of "$dir/out")
metrics_of "$dir/reference" >"$dir/metrics"
start fresh "$dir/run" count "$dir/calls.fresh" >"$dir/out" 2>"$dir/err"
status=$?
if [ $status -eq 99 ]; then
    cat "$dir/err"
    finish 0 0
fi
if [ $status -ne 0 ] || [ -z "$reference" ] || [ "$(hash_of "$dir/out")" != "$reference" ]; then
    echo "counting calls changed the run: exit $status"
    cat "$dir/out" "$dir/err"
    finish 0 1
fi
# Right after the folder was made, its name is brought to the disk; then it is locked.
first=$(awk '$3 == "own" && $1 ~ /^(mkdir|fsync|lock)$/ { print $1 } $1 == "lock" { exit }' "$dir/calls.fresh" | tail -n 3 | tr '\n' ' ')
if [ "$first" != 'mkdir fsync lock ' ]; then
    echo "a new folder is not on the disk: $first"
    finish 0 1
fi
renames=$(grep -c '^rename ' "$dir/calls.fresh")
start fresh "$dir/half" "rename:$((renames * 2 / 3)):KILL-AFTER" "$dir/report" >"$dir/out" 2>"$dir/err"
for file in last.ckpt best.safetensors; do
    [ -f "$dir/half/$file" ] && continue
    echo "the half-done run has no $file"
    finish 0 1
done
start resume "$dir/run" count "$dir/calls.resume" >"$dir/out" 2>"$dir/err"
if [ "$(hash_of "$dir/out")" != "$reference" ]; then
    echo 'the half-done run does not resume'
    cat "$dir/out" "$dir/err"
    finish 0 1
fi

# How a kind of call can fail.
ways() {
    case $1 in
    alloc | map | break) echo ENOMEM ;;
    thread) echo EAGAIN ;;
    affinity) echo EPERM ;;
    read) echo EIO EINTR SHORT ;;
    write) echo MOVE ENOSPC EIO EINTR SHORT KILL-BEFORE KILL-AFTER ;;
    open) echo MOVE EACCES EMFILE ENOSPC EINTR KILL-BEFORE KILL-AFTER ;;
    close) echo MOVE EIO KILL-BEFORE KILL-AFTER ;;
    fsync) echo MOVE EIO ENOSPC KILL-BEFORE KILL-AFTER ;;
    rename | unlink) echo MOVE EIO EACCES KILL-BEFORE KILL-AFTER ;;
    truncate) echo MOVE EIO ENOSPC EINTR KILL-BEFORE KILL-AFTER ;;
    mkdir) echo EACCES ENOSPC KILL-BEFORE KILL-AFTER ;;
    lock) echo MOVE ENOLCK EINTR KILL-BEFORE KILL-AFTER ;;
    access) echo EACCES EIO ;;
    *) echo EIO ;;
    esac
}

# Kinds with many calls are thinned out where time is short, and those of libraries always.
every() { # every KIND OWNER
    case $quick$2 in
    --quickown) case $1 in alloc | read | open | close | stat | seek) echo 40 ;; write) echo 12 ;; *) echo 4 ;; esac ;;
    --quick*) echo 80 ;;
    *own) echo 1 ;;
    *) echo 4 ;;
    esac
}

# list_part SETUP KIND OWNER: the runs for the calls of a kind that one owner makes
list_part() {
    step=$(every "$2" "$3")
    fitting=$(ways "$2")
    case $3 in own) ;; *) fitting=$(echo "$fitting" | sed 's/KILL-[A-Z]*\|MOVE//g') ;; esac # libraries change no files
    awk -v kind="$2" -v owner="$3" -v step="$step" '$1 == kind && $3 == owner && n++ % step == 0 { print $2 }' "$dir/calls.$1" |
        while read -r number; do
            for way in $fitting; do echo "$1 $2 $number $way"; done
            case $2$3 in writeown | fsyncown) echo "$1 $2 $number+ ENOSPC" ;; esac # a disk stays full
        done
}
for setup in fresh resume; do
    awk '{ print $1, $3 }' "$dir/calls.$setup" | sort -u | while read -r kind owner; do list_part "$setup" "$kind" "$owner"; done
done >"$dir/list"

# ---- Runs ----

say() { # say WHAT: of a run that is not as it must be
    bad=1
    printf 'FAIL: %s: %s\n' "$fault_name" "$1"
    grep -h -v '^shikaku: warning: ' "$work/err" | sed 's/^/    /'
    # Where the call was made, and the place in the source
    while read -r _ _ _ offset; do addr2line -f -s -e "$bin" "$offset" 2>"$work/no" | paste -s -d ' ' | sed 's/^/    in /'; done <"$work/report"
}

# What was moved comes back, if the run did not begin in the new folder; else nothing may be in that one.
check_moved() {
    [ -e "$work/run.away" ] || return
    if [ -e "$work/run/config.json" ] && [ ! -e "$work/run.away/config.json" ]; then
        rm -rf "$work/run.away"
        return
    fi
    [ -z "$(ls -A "$work/run")" ] || say "files in a folder that is not the run's: $(ls -A "$work/run" | tr '\n' ' ')"
    rm -rf "$work/run" && mv "$work/run.away" "$work/run"
}

# Every file that is there is whole, and those of before still are.
check_files() {
    for file in last.ckpt best.safetensors; do
        if [ -f "$work/run/$file" ]; then
            "$bin" eval "$work/run/$file" >"$work/eval.$file" 2>&1 ||
                say "eval does not accept $file: $(tail -n 1 "$work/eval.$file")"
        elif [ "$setup" = resume ]; then
            say "$file is gone"
        fi
    done
}

check_recovery() {
    # shellcheck disable=SC2086 # words
    timeout -s QUIT 20 "$bin" train $options --out "$work/run" --resume >"$work/out" 2>"$work/err2"
    status=$?
    if [ $status -ne 0 ] || [ "$(hash_of "$work/out")" != "$reference" ]; then
        say "train --resume afterwards: exit $status, weights '$(hash_of "$work/out")': $(cat "$work/err2")"
        return
    fi
    metrics_of "$work/run" | cmp -s - "$dir/metrics" || say 'other metrics after train --resume'
    cmp -s "$work/run/best.safetensors" "$dir/reference/best.safetensors" || say 'another best.safetensors after train --resume'
    for file in "$work/run"/*.new; do [ ! -e "$file" ] || say "$file is left"; done
}

# Sets outcome: success, error, killed, or unclear. Lines on stdout may be lost where a run is kept in a folder; the weights
# may not.
judge() {
    outcome=unclear
    grep -v '^shikaku: warning: ' "$work/err" >"$work/lines"
    case $status in
    0) grep -q "weights $reference" "$work/eval.last.ckpt" && [ ! -s "$work/lines" ] && outcome=success ;;
    1 | 2) [ "$(wc -l <"$work/lines")" -eq 1 ] && grep -q '^shikaku: [^ ].\{9,\}' "$work/lines" && outcome=error ;;
    137) case $way in KILL*) outcome=killed ;; esac ;;
    esac
    # What is not on the disk must be said.
    case $way$kind$outcome in MOVE*) ;; *fsyncsuccess) outcome=unclear ;; esac
}

# one SETUP KIND NUMBER WAY: prints "RESULT setup kind way owner outcome verdict"
one() {
    setup=$1 kind=$2 number=$3 way=$4 fault_name="$1 $2 $3 $4" bad=0
    : >"$work/eval.last.ckpt"
    start "$setup" "$work/run" "$kind:$number:$way" "$work/report" >"$work/out" 2>"$work/err"
    status=$?
    owner=$(cut -d ' ' -f 3 "$work/report")
    check_moved
    check_files
    judge
    case ${owner:-none} in
    own | none) [ $outcome != unclear ] || say "exit $status, weights '$(hash_of "$work/out")'" ;;
    *) [ $outcome != unclear ] || [ $status -ne 124 ] || say 'hangs' ;;
    esac
    check_recovery
    echo "RESULT $setup $kind $way ${owner:-none} $outcome $bad"
}

# Two at a time, each every second run; the shell's own words on killed programs go to a file.
part() { # part N
    work=$dir/part$1
    mkdir "$work"
    awk -v n="$1" 'NR % 2 == n' "$dir/list" | while read -r setup kind number way; do one "$setup" "$kind" "$number" "$way"; done \
        >"$dir/results.$1" 2>"$work/noise"
}
part 0 &
first=$!
part 1
wait $first

grep -hv '^RESULT' "$dir"/results.[01]
awk '$1 == "RESULT" {
    owner = $5 == "own" || $5 == "none" ? $5 : "libraries"
    key = sprintf("%-9s %-9s", owner == "own" ? "own" : owner, $3)
    runs[key]++; seen[key, $6]++
} END {
    for (key in runs)
        printf "%s %5d runs: %5d success, %5d one sentence, %5d killed, %5d otherwise\n", key, runs[key],
            seen[key, "success"], seen[key, "error"], seen[key, "killed"], seen[key, "unclear"]
}' "$dir"/results.[01] | sort
finish "$(cat "$dir"/results.[01] | grep -c '^RESULT.* 0$')" "$(cat "$dir"/results.[01] | grep -c '^RESULT.* 1$')"
