#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/sanitized.sh BIN: exit code 0 where a sanitizer is built in: it takes terabytes of address space, makes calls of its own,
# and needs many times the time.
[ "$(nm "${1:?usage: ${0##*/} BIN}" | grep -c -e __asan_init -e __tsan_init)" -gt 0 ]
