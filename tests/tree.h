// SPDX-License-Identifier: MIT
// A folder that stands for the root, with files such as the kernel's below /proc and /sys, or data.
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

#include <stdbool.h>
#include <stddef.h>

extern char tree[]; // its name
bool tree_create(void);
void tree_write(const char *path, const char *text); // path: from the root, "/proc/meminfo"; folders are made
void tree_write_bytes(const char *path, const void *bytes, size_t size);
void tree_clear(void);
void tree_remove(void);

#endif
