// SPDX-License-Identifier: MIT
// The tightest quota of the process's control groups is found here.
#include "machine/quota.h"

#include "base/cgroup.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

// Version 2: "max 100000" or "650000 100000". *cpus 0: no limit. False if malformed.
static bool parse_v2(const char *text, double *cpus) {
    uint64_t quota = 0, period = 0;
    *cpus = 0;
    bool unlimited = strncmp(text, "max ", 4) == 0;
    if (unlimited) text += 4;
    if (!unlimited && (!shk_read_number(&text, " ", &quota) || quota == 0)) return false;
    if (!shk_read_number(&text, "\n", &period) || period == 0 || *text) return false;
    if (!unlimited) *cpus = (double)quota / (double)period;
    return true;
}

// Version 1: -1 for no limit, and the period in a file of its own.
static bool parse_v1(const char *quota_text, const char *period_text, double *cpus) {
    uint64_t quota = 0, period = 0;
    *cpus = 0;
    if (strcmp(quota_text, "-1\n") == 0) return true;
    if (!shk_read_number(&quota_text, "\n", &quota) || *quota_text || quota == 0) return false;
    if (!shk_read_number(&period_text, "\n", &period) || *period_text || period == 0) return false;
    *cpus = (double)quota / (double)period;
    return true;
}

static void note(char out[SHK_LINE], const char *dir, const char *name) {
    int length = snprintf(out, SHK_LINE, "%s%s", dir, name);
    if (length >= SHK_LINE) memcpy(out + SHK_LINE - 4, "...", 4);
}

// The quota of one group.
static void read_group(const char *dir, bool v2, void *user) {
    struct shk_quota *q = user;
    char text[SHK_SMALL_FILE], period[SHK_SMALL_FILE] = "";
    double cpus = 0;
    const char *name = v2 ? "/cpu.max" : "/cpu.cfs_quota_us";
    if (!v2 && !shk_read_small(dir, "/cpu.cfs_period_us", period)) return;
    if (!shk_read_small(dir, name, text)) return;
    if (!(v2 ? parse_v2(text, &cpus) : parse_v1(text, period, &cpus))) {
        note(q->malformed, dir, name);
        return;
    }
    if (cpus <= 0) return;
    if (q->cpus <= 0 || cpus < q->cpus) {
        q->cpus = cpus;
        note(q->file, dir, name);
    }
    if (!shk_read_small(dir, "/cpu.stat", text)) return;
    q->events += shk_stat_value(text, "nr_throttled");
    q->throttled += v2 ? 1e-6 * (double)shk_stat_value(text, "throttled_usec")
                       : 1e-9 * (double)shk_stat_value(text, "throttled_time");
}

void shk_quota_read(const char *root, struct shk_quota *q) {
    *q = (struct shk_quota){0};
    shk_cgroup_walk(root, "cpu", read_group, q);
}
