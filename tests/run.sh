#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/run.sh COMMAND...: runs each test command (one argument each, with its own arguments inside), shows the output of
# those that fail, and ends with a summary line. Exit code 1 if any failed.
set -u
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
passed=0 failed=0
for command in "$@"; do
    start=$(date +%s)
    if sh -c "$command" >"$log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok    %s (%d s)\n' "$command" $(($(date +%s) - start))
    else
        status=$?
        failed=$((failed + 1))
        printf 'FAIL  %s (exit code %d)\n' "$command" "$status"
        sed 's/^/      /' "$log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
