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
unset SHIKAKU_THREADS SHIKAKU_PIN SHIKAKU_ISA OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY
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
    timeout 120 "$bin" "$@" >out 2>err
    status=$?
    lines=0
    [ "$want" -eq 0 ] || lines=1
    [ $status -eq "$want" ] && [ "$(grep -vc '^shikaku: warning: ' err)" -eq $lines ]
    check "exit $status, not $want with $lines lines: $*" $?
}

# What the last command said on standard error, but for what other programs are to blame for.
errors() { grep -v '^shikaku: warning: the machine is busy: ' err; }

says() { # says PATTERN: the last command's output or error has such a line
    grep -Eq -- "$1" out err
    check "nothing matches: $1" $?
}
