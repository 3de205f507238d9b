#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/machine_runs.sh BIN: real trainings under masks, quotas and OpenMP's variables. What the start line says is held against
# what the kernel says of each thread (its mask and the CPU it last ran on), and the weights are the same in all of them.
set -u
bin=${1:?usage: machine_runs.sh BIN}
dir=$(mktemp -d) || exit 1
group=/sys/fs/cgroup/cpu/shikaku-test-$$ # of version 1, where there is one that we may use
trap 'rm -rf "$dir"; rmdir "$group" 2>"$dir-no" || true; rm -f "$dir-no"' EXIT
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
passed=0 failed=0 reference=

fail() { # fail WHAT: of the last run
    failed=$((failed + 1))
    printf 'FAIL: %s: %s\n' "$name" "$1"
    sed 's/^/    /' "$dir/out" "$dir/threads"
}

# run NAME COMMAND...: trains; $dir/threads then has a line for each thread: mask, CPU
run() {
    name=$1
    shift
    : >"$dir/out" # before the training begins, or the last one's lines would count
    : >"$dir/threads"
    # shellcheck disable=SC2086 # words
    "$@" train --model tinycnn --train-samples 3000 --test-samples 10 --epochs 4 $options >"$dir/out" 2>&1 &
    pid=$!
    while kill -0 $pid 2>"$dir/no"; do
        grep -q 'epoch 1/' "$dir/out" && break
        sleep 0.02
    done
    for task in "/proc/$pid/task"/*; do
        [ "$(cat "$task/comm" 2>"$dir/no")" != printer ] || continue # it computes nothing and is not pinned
        mask=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$task/status" 2>"$dir/no")
        cpu=$(sed 's/.*) //' "$task/stat" 2>"$dir/no" | cut -d ' ' -f 37)
        [ -n "$mask" ] && echo "$mask $cpu" >>"$dir/threads"
    done
    wait $pid || fail "exit code $?"
    hash=$(sed -n 's/.*weights //p' "$dir/out")
    reference=${reference:-$hash}
    if [ -n "$hash" ] && [ "$hash" = "$reference" ]; then passed=$((passed + 1)); else fail "other weights than $reference"; fi
}

says() { # says PATTERN: a line of the output matches
    if grep -Eq -- "$1" "$dir/out"; then passed=$((passed + 1)); else fail "nothing matches $1"; fi
}

masks() { # masks LIST: the threads' masks, sorted, with spaces between; and each thread ran inside its own
    ! nm "$bin" 2>"$dir/no" | grep -q __tsan_init || return 0 # ThreadSanitizer has a thread of its own
    found=$(cut -d ' ' -f 1 "$dir/threads" | sort -n | tr '\n' ' ')
    if [ "$found" = "$1 " ]; then passed=$((passed + 1)); else fail "masks '$found', not '$1 '"; fi
    if awk '$1 ~ /^[0-9]+$/ && $1 != $2 { bad = 1 } END { exit bad }' "$dir/threads"; then
        passed=$((passed + 1))
    else
        fail 'a thread ran outside of its mask'
    fi
}

cpus=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
count=$(nproc)
first=${cpus%%[-,]*}
options=''
run 'default' "$bin"
says '^threads: [0-9]+ of [0-9]+ CPUs? \([0-9]+ [PE-]*cores? allowed'
run 'one CPU' taskset -c "$first" "$bin"
says '^threads: 1 of [0-9]+ CPUs? \(1 [PE-]*core allowed.*pinned to CPU '"$first"';|quota'
[ "$count" -eq 1 ] || says 'warning: this process is bound to a single CPU of'
masks "$first"
options='--threads 1'
run 'one thread' "$bin"
masks "$(if [ "$count" -gt 1 ]; then echo "$cpus"; else echo "$first"; fi)"
options='--threads 2 --pin none'
run 'two threads, not pinned' "$bin"
says 'not pinned, as asked'
masks "$cpus $cpus"
options='--threads 8'
run 'eight threads' "$bin"
says '^threads: 8 of '
[ "$count" -ge 8 ] || says 'warning: 8 threads share the '

if [ "$cpus" = 0-1 ]; then # what is said below holds for two CPUs
    options=''
    run 'two CPUs' "$bin"
    if [ "$(wc -l <"$dir/threads")" -eq 2 ]; then # no quota
        says 'pinned to CPUs 0-1; memory'
        masks '0 1'
        # Places by number: the runtime finds no cores where there is no /sys, as in a bare chroot.
        run 'OMP_PROC_BIND' env OMP_PROC_BIND=close OMP_PLACES='{0},{1}' "$bin"
        says '^threads: 2 of 2 .*binding is left to OpenMP \(OMP_PROC_BIND=close'
        masks '0 1'
        run 'OMP_PROC_BIND=false' env OMP_PROC_BIND=false "$bin"
        masks '0-1 0-1'
        run 'OMP_PLACES alone' env OMP_PLACES=cores "$bin"
        says 'warning: OMP_PLACES is set without OMP_PROC_BIND'
        run 'GOMP_CPU_AFFINITY' env GOMP_CPU_AFFINITY='1 0' "$bin"
        says 'binding is left to OpenMP \(GOMP_CPU_AFFINITY=1 0\)'
        masks '0 1'
        run 'SHIKAKU_PIN against OpenMP' env OMP_PROC_BIND=close SHIKAKU_PIN=compact "$bin"
        says 'warning: SHIKAKU_PIN has no effect'
        run 'SHIKAKU_PIN' env SHIKAKU_PIN=1,0 "$bin"
        says 'pinned to CPUs 1,0;'
        masks '0 1'
    fi
    run 'list of one' env SHIKAKU_PIN=1 "$bin"
    says '^threads: 1 of 2 CPUs \(1 listed.*pinned to CPU 1;'
    masks 1
fi

# OMP_NUM_THREADS is read as OpenMP and nproc read it. LLVM's runtime ends the process before main where it is empty.
options='--pin none'
for value in 2 2,1 ' 2' '2 ,4' '' '1 '; do
    if [ -z "$value" ] && nm "$bin" 2>"$dir/no" | grep -q __kmpc_fork_call; then continue; fi
    run "OMP_NUM_THREADS='$value'" env OMP_NUM_THREADS="$value" "$bin"
    [ -z "$value" ] || says "^threads: $(OMP_NUM_THREADS="$value" nproc) of .*asked for by OMP_NUM_THREADS"
done
run 'no level for threads' env OMP_MAX_ACTIVE_LEVELS=0 OMP_NUM_THREADS=2 "$bin"
says '^threads: 1 of '
says 'warning: OMP_MAX_ACTIVE_LEVELS allows 1 of 2 threads'
run 'fewer threads by load' env OMP_DYNAMIC=true "$bin"
says 'warning: OpenMP may start fewer threads'

# Two other programs on the only CPU that it may use, for so long that its threads wait for some seconds: less is not said.
name='a busy machine'
taskset -c "$first" sh -c 'while :; do :; done' &
others=$!
taskset -c "$first" sh -c 'while :; do :; done' &
others="$others $!"
taskset -c "$first" "$bin" train --model tinycnn --train-samples 3000 --test-samples 10 --epochs 30 --threads 1 >"$dir/out" 2>&1
# shellcheck disable=SC2086 # two
kill $others
says 'warning: the machine is busy: threads had no CPU for [0-9]+ % of their time'

# Threads that cannot be created: each wants a gigabyte of stack, and there are four. (A sanitizer takes more by itself.)
if ! "$(dirname "$0")/sanitized.sh" "$bin"; then
    options='--threads 8'
    run 'no more threads' sh -c 'ulimit -s 1000000 && ulimit -v 4500000 && exec "$@"' limits env OMP_STACKSIZE=1000000k "$bin"
    says 'warning: [2-5] of 8 threads can be created'
fi

# The stack that OpenMP's threads are to have counts: more than the machine has address space for.
options='--threads 2'
run 'stacks without end' env OMP_STACKSIZE=100000g "$bin"
says 'warning: 1 of 2 threads can be created: .*OMP_STACKSIZE asks'

if mkdir "$group" 2>"$dir/no" && echo 100000 >"$group/cpu.cfs_period_us" && echo 50000 >"$group/cpu.cfs_quota_us"; then
    # shellcheck disable=SC2016 # expanded by the inner shell
    in_group='echo $$ >"$1/tasks" && shift && exec "$@"'
    options=''
    run 'half a CPU' sh -c "$in_group" group "$group" "$bin"
    says '^threads: 1 of .*cgroup quota 0.5\); '
    options='--threads 2'
    echo 20000 >"$group/cpu.cfs_quota_us"
    run 'two threads in a fifth of a CPU' sh -c "$in_group" group "$group" "$bin"
    says 'warning: 2 threads share a cgroup quota of 0.2 CPUs'
    says "warning: the kernel held this cgroup's threads back"
    echo 150000 >"$group/cpu.cfs_quota_us"
    options=''
    run 'one and a half CPUs' sh -c "$in_group" group "$group" "$bin"
    says '^threads: 1 of .*cgroup quota 1.5\); |^threads: 1 of 1 '
fi

echo "machine_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
