#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/sanitized.sh BIN [--threads]: exit code 0 where a sanitizer is built in: it takes terabytes of address space, makes calls of
# its own, and needs many times the time. --threads: where it is ThreadSanitizer, which also starts a thread, takes more than 128 MiB,
# and with LLVM's OpenMP ends in SIGBUS where files may not grow (ulimit -f).
sought=__[at]san_init
[ "${2:-}" != --threads ] || sought=__tsan_init
nm "${1:?usage: ${0##*/} BIN [--threads]}" | grep -q "$sought"
