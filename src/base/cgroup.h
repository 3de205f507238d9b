// SPDX-License-Identifier: MIT
// The control groups (cgroups) that this process is in, versions 1 and 2, and what their files say.
#ifndef SHK_BASE_CGROUP_H
#define SHK_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Calls visit(dir, v2, user) for this process's group of a controller ("cpu") and for each of its parents that can be seen, in
// both versions. dir: the group's folder. root: what stands before /proc and /sys, "" for this system's own.
typedef void shk_cgroup_visit(const char *dir, bool v2, void *user);
void shk_cgroup_walk(const char *root, const char *controller, shk_cgroup_visit *visit, void *user);

enum { SHK_SMALL_FILE = 8192 };
// A file's text, as much of it as fits; false if it is not there. name: "/cpu.max".
bool shk_read_small(const char *dir, const char *name, char out[SHK_SMALL_FILE]);
// A whole number at *text, and what must come behind it; *text then is what comes next.
bool shk_read_number(const char **text, const char *behind, uint64_t *out);
// The number of a line "name number", 0 where there is none.
uint64_t shk_stat_value(const char *text, const char *name);

#endif
