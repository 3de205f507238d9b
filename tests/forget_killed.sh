#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/forget_killed.sh: LLVM's OpenMP leaves a file for each process that is killed, and is misled where another one gets its
# number. Removes those of processes that are gone.
for file in /dev/shm/__KMP_REGISTERED_LIB_*; do
    process=${file#*LIB_}
    [ ! -e "$file" ] || [ -d "/proc/${process%%_*}" ] || rm -f "$file"
done
