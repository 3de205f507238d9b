// SPDX-License-Identifier: MIT
// This reads what the kernel says about clocks, microcode and load.
#include "machine/conditions.h"

#include "base/cgroup.h"
#include "base/text.h"
#include "machine/quota.h"
#include "machine/topology.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A file's first line.
static bool read_line(const char *root, const char *name, char *out, size_t size) {
    char text[SHK_SMALL_FILE];
    if (!shk_read_small(root, name, text) || !*text) return false;
    snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
    return true;
}

// "microcode : 0xb00215a" of the first CPU.
static void read_microcode(const char *root, char *out, size_t size) {
    char text[SHK_SMALL_FILE];
    const char *at = shk_read_small(root, "/proc/cpuinfo", text) ? strstr(text, "\nmicrocode") : NULL;
    const char *colon = at ? strchr(at, ':') : NULL;
    if (!colon) return;
    colon += 1 + strspn(colon + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(colon, "\n"), colon);
}

// One for all CPUs that this process may use, else "mixed".
static void read_governor(const char *root, const struct shk_machine *m, char *out, size_t size) {
    for (unsigned i = 0; i < m->info.cpus; i++) {
        char name[100], governor[SHK_CONDITION];
        if (!m->cpus[i].allowed) continue;
        snprintf(name, sizeof name, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", m->cpus[i].number);
        if (!read_line(root, name, governor, sizeof governor)) continue;
        if (*out && strcmp(out, governor) != 0) {
            snprintf(out, size, "mixed");
            return;
        }
        snprintf(out, size, "%s", governor);
    }
}

// Whether clocks may rise above the base: acpi-cpufreq and amd-pstate say it, intel_pstate says the contrary.
static void read_boost(const char *root, char *out, size_t size) {
    char text[SHK_CONDITION];
    if (read_line(root, "/sys/devices/system/cpu/cpufreq/boost", text, sizeof text))
        snprintf(out, size, strcmp(text, "0") == 0 ? "off" : "on");
    else if (read_line(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", text, sizeof text))
        snprintf(out, size, strcmp(text, "0") == 0 ? "on" : "off");
}

static void read_load(const char *root, double load[3]) {
    const double *const end = load + 3;
    char text[SHK_SMALL_FILE];
    if (!shk_read_small(root, "/proc/loadavg", text)) return;
    for (char *rest = text, *piece; (piece = strsep(&rest, " ")) && load < end && shk_read_real(piece, load); load++) {
    }
}

void shk_conditions_read(const char *root, const struct shk_machine *m, struct shk_conditions *out) {
    struct shk_quota quota;
    *out = (struct shk_conditions){0};
    read_microcode(root, out->microcode, sizeof out->microcode);
    read_governor(root, m, out->governor, sizeof out->governor);
    read_boost(root, out->boost, sizeof out->boost);
    read_load(root, out->load);
    shk_quota_read(root, &quota);
    out->throttled = quota.throttled;
}

void shk_machine_conditions(const struct shk_machine *m, struct shk_conditions *out) {
    shk_conditions_read("", m, out);
}
