#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/kill_runs.sh BIN [TRIALS [SEED]]: trainings that are killed (SIGKILL) at random moments, one to five times each, and resumed
# on another number of threads; every fourth time the folder is moved away instead, and the training ends by itself. A FIFO and a link
# are put in the place of half-written files. After each kill, every file of weights is whole; in the end weights, best weights and metrics are
# those of a run that nobody killed.
set -u
bin=${1:?usage: kill_runs.sh BIN [TRIALS [SEED]]} trials=${2:-200} seed=${3:-$(date +%s)}
tests=$(cd "$(dirname "$0")" && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"; "$tests/forget_killed.sh"' EXIT
trap 'exit 1' HUP INT TERM
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
passed=0 failed=0 kills=0 moves=0 late=0
run=$dir/run

options='--model cnn:channels=4,hidden=16 --train-samples 600 --test-samples 40 --epochs 10 --batch 16 --checkpoint-every 3
    --metrics-every 1'

hash_of() { sed -n 's/.*done.* weights //p' "$1"; }

# The metrics without what no two runs share.
metrics_of() { sed -E 's/,? *"(time|[a-z_]*seconds|[a-z_]*samples_per_second)": *[-+.0-9e]+//g' "$1/metrics.jsonl"; }

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

train() { # train DIR THREADS
    # shellcheck disable=SC2086 # words
    exec "$bin" train $options --threads "$2" --out "$1" --resume
}

say() { # say WHAT: of a trial that is not as it must be
    ok=1
    printf 'FAIL: trial %d, kill %d: %s\n' "$number" "$kill" "$1"
    sed 's/^/    /' "$dir/err"
}

check_files() {
    for file in "$run"/*.ckpt "$run"/*.safetensors; do
        [ -e "$file" ] || continue
        "$bin" eval --threads 1 "$file" >"$dir/eval" 2>&1 || say "eval does not accept ${file##*/}: $(tail -n 1 "$dir/eval")"
    done
}

# kill_once MILLISECONDS THREADS: true if the training was killed, false if it had ended before
kill_once() {
    (train "$run" "$2") >"$dir/out" 2>"$dir/err" &
    pid=$!
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
    kill -9 $pid
    wait $pid
    status=$?
    if [ $status -eq 137 ]; then kills=$((kills + 1)); else late=$((late + 1)); fi
    [ $status -eq 137 ] || [ $status -eq 0 ] || say "exit $status before it was killed"
    [ $status -eq 137 ]
}

# move_once MILLISECONDS THREADS: true if the training ended for that, false if it had ended before
move_once() {
    : >"$dir/out" # the last run's words
    (train "$run" "$2") >"$dir/out" 2>"$dir/err" &
    pid=$!
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
    begun=$(grep -c '^folder: ' "$dir/out") # before that it has not yet looked whether there is a folder
    mv "$run" "$run.away" 2>"$dir/no"
    wait $pid
    status=$?
    if [ -e "$run.away" ]; then # it may be too early for there to be something
        [ ! -e "$run" ] || [ "$begun" -eq 0 ] || say 'a folder was made anew while its run was at work'
        rm -rf "$run" && mv "$run.away" "$run"
    fi
    case $status in
    0) late=$((late + 1)) && return 1 ;;
    1 | 2) moves=$((moves + 1)) && [ "$(grep -vc '^shikaku: warning: ' "$dir/err")" -eq 1 ] || say "exit $status after its folder was moved" ;;
    *) say "exit $status after its folder was moved" ;;
    esac
}

# What another program may have left where a run's half-written files are.
plant() {
    [ -e "$run/config.json" ] || return
    [ -e "$run/last.ckpt.00000000.new" ] || mkfifo "$run/last.ckpt.00000000.new"
    ln -sf "$dir/metrics" "$run/metrics.jsonl.00000000.new"
}

check_end() {
    [ "$(hash_of "$dir/out")" = "$reference" ] || say "weights '$(hash_of "$dir/out")', not $reference"
    cmp -s "$run/best.safetensors" "$dir/reference1/best.safetensors" || say 'another best.safetensors'
    metrics_of "$run" | cmp -s - "$dir/metrics" || say 'other metrics'
    for file in "$run"/*.new; do [ ! -e "$file" ] || say "$file is left"; done
    [ ! -s "$dir/err" ] || grep -q '^shikaku: warning: ' "$dir/err" || say 'an error message'
}

# trial THREADS MILLISECONDS...: kills after so many, then trains to the end
trial() {
    rm -rf "$run"
    ok=0 kill=0 threads=$1
    shift
    for moment in "$@"; do
        kill=$((kill + 1)) threads=$((threads % 3 + 1))
        case $moment in # the shell's own words are left out
        *m) move_once "${moment%m}" "$threads" 2>"$dir/no" || break ;;
        *) kill_once "$moment" "$threads" 2>"$dir/no" || break ;;
        esac
        check_files
        plant
    done
    (train "$run" "$((threads % 3 + 1))") >"$dir/out" 2>"$dir/err" || say "exit $? where nobody killed it"
    check_end
    if [ $ok -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# The reference is trained in one go; how long a run takes is the least of three.
length=1000000
for attempt in 1 2 3; do
    start=$(milliseconds)
    (train "$dir/reference$attempt" 2) >"$dir/out" 2>"$dir/err" || {
        cat "$dir/out" "$dir/err"
        echo 'kill_runs: 0 passed, 1 failed'
        exit 1
    }
    took=$(($(milliseconds) - start))
    [ $took -ge $length ] || length=$took
done
reference=$(hash_of "$dir/out")
metrics_of "$dir/reference1" >"$dir/metrics"
echo "seed $seed, a run takes $length ms, $(wc -l <"$dir/metrics") lines of metrics"

# A line for each trial: threads, then its kills: a third of them in the first 50 ms, the others anywhere in what a run takes.
awk -v seed="$seed" -v trials="$trials" -v length_ms="$length" 'BEGIN {
    srand(seed)
    for (t = 0; t < trials; t++) {
        line = 1 + int(3 * rand())
        for (k = 1 + int(5 * rand()); k > 0; k--)
            line = line " " int(rand() < 1 / 3 ? 50 * rand() : length_ms * rand()) (rand() < 1 / 4 ? "m" : "")
        print line
    }
}' >"$dir/trials"
number=0
while read -r line; do
    number=$((number + 1))
    # shellcheck disable=SC2086 # words
    trial $line </dev/null
done <"$dir/trials"

echo "$passed of $trials trials, $kills kills, $moves moves, $late came after the end"
echo "kill_runs: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
