# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# tests/begin_runs.sh is sourced by tests of trainings, whose first argument is the command: it makes a folder to work in, and
# says what a test is.
bin=${1:?usage: ${0##*/} BIN}
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
tests=$(cd "$(dirname "$0")" && pwd) || exit 1
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"; "$tests/forget_killed.sh"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
export XDG_CACHE_HOME="$dir/cache-home"
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
patience=1 # by which limits of time are multiplied
! "$tests/sanitized.sh" "$bin" || patience=10
tsan='' # yes where ThreadSanitizer is built in
! "$tests/sanitized.sh" "$bin" --threads || tsan=yes
passed=0 failed=0
: >out && : >err

check() { # check WHAT STATUS: 0 is a pass
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL: %s\n' "$1"
        tail -n 5 out err 2>&1 | cat -v | sed 's/^/    /'
    fi
}

run() { # run STATUS ARGUMENT...: the exit code; standard error has one line where it is not 0, beside warnings
    want=$1
    shift
    timeout $((120 * patience)) "$bin" "$@" >out 2>err
    status=$?
    lines=0
    [ "$want" -eq 0 ] || lines=1
    [ $status -eq "$want" ] && [ "$(grep -vc '^shikaku: warning: ' err)" -eq $lines ]
    check "exit $status, not $want with $lines lines: $*" $?
}

# What the last command said on standard error, but for what other programs are to blame for.
errors() { grep -v '^shikaku: warning: the machine is busy: ' err; }

lacks() { printf 'skipped: %s\n' "$1"; }
python_with() { # python_with MODULE: a python3 that has it
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && echo "$python" && return
    done
    lacks "python3-$1" >&2
}

says() { # says PATTERN: the last command's output or error has such a line
    grep -Eq -- "$1" out err
    check "nothing matches: $1" $?
}

set_of() { # set_of FOLDER SIDE GREATEST TEXT: 60 images and their labels, 0 to GREATEST, as IDX
    side=$(printf '\\000\\000\\000\\%03o' "$2")
    mkdir -p "$1"
    { printf "\\000\\000\\010\\003\\000\\000\\000\\074$side$side" && yes "$4" | head -c $((60 * $2 * $2)); } >"$1/train-images-idx3-ubyte"
    { printf '\000\000\010\001\000\000\000\074' && yes "$(seq -s '' 0 "$3")" | tr -d '\n' | head -c 60 | tr 0-9 '\000-\011'; } \
        >"$1/train-labels-idx1-ubyte"
}
