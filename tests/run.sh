#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run.sh COMMAND... [-- COMMAND...]: runs each test command (one argument each, with its own arguments inside), as many at a
# time as there are CPUs, and those behind -- one by one. It shows the output of those that fail, and ends with a summary line. Exit
# code 1 if any failed.
set -u

# --one DIR COMMAND: a test, for xargs; what it printed is kept where it fails.
if [ "${1:-}" = --one ]; then
    log=$(mktemp "$2/log.XXXXXX") || exit 1
    start=$(date +%s)
    sh -c "$3" >"$log" 2>&1
    status=$?
    took=$(($(date +%s) - start))
    if [ $status -eq 0 ]; then
        printf 'ok    %s (%d s)\n' "$3" $took
        echo >>"$2/passed"
    else
        printf 'FAIL  %s (exit code %d, %d s)\n' "$3" $status $took
        { printf 'FAIL  %s:\n' "$3" && sed 's/^/      /' "$log"; } >"$log.failed"
    fi
    rm "$log"
    exit 0
fi

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
export XDG_CACHE_HOME="$dir/cache"
: >"$dir/passed"
: >"$dir/together"
list=$dir/together count=0
for command in "$@"; do
    if [ "$command" = -- ]; then list=$dir/alone; else printf '%s\0' "$command" >>"$list" && count=$((count + 1)); fi
done
xargs -0 -r -n 1 -P "$(nproc)" "$0" --one "$dir" <"$dir/together"
[ ! -e "$dir/alone" ] || xargs -0 -n 1 "$0" --one "$dir" <"$dir/alone"

for log in "$dir"/*.failed; do [ ! -e "$log" ] || cat "$log"; done
passed=$(wc -l <"$dir/passed")
echo "$passed passed, $((count - passed)) failed"
[ "$passed" -eq "$count" ] && [ "$count" -gt 0 ]
