// SPDX-License-Identifier: MIT
// Asks Linux for a thread's counters (perf_event_open); other systems have none.
#include "base/counters.h"

#ifdef __linux__

#include "base/cgroup.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct shk_event shk_cpu_events[SHK_EVENTS] = {
    [SHK_CYCLES] = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    [SHK_INSTRUCTIONS] = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    [SHK_CACHE_MISSES] = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
};

void shk_counters_reason(int error, const char *paranoid, char *out, size_t size) {
    if (error == ENOENT || error == ENODEV || error == EOPNOTSUPP)
        snprintf(out, size, "the CPU has none here: a virtual machine has them only where its host lends them");
    else if (error == ENOSYS)
        snprintf(out, size, "this kernel has no perf_event_open, or a container hides it");
    else if ((error == EACCES || error == EPERM) && atoi(paranoid) > 2)
        snprintf(
            out, size,
            "kernel.perf_event_paranoid is %s; 'sysctl kernel.perf_event_paranoid=2' lets everyone count in user space",
            paranoid);
    else if (error == EACCES || error == EPERM)
        snprintf(
            out, size,
            "perf_event_open is forbidden, as in containers: their seccomp profile must allow it, or they need the "
            "capability PERFMON");
    else
        snprintf(out, size, "perf_event_open fails: %s", strerror(error));
}

static bool refuse(int error, struct shk_error *err) {
    char paranoid[SHK_SMALL_FILE] = "", reason[200];
    if (shk_read_small("/proc/sys/kernel", "/perf_event_paranoid", paranoid)) paranoid[strcspn(paranoid, "\n")] = 0;
    shk_counters_reason(error, paranoid, reason, sizeof reason);
    return shk_fail(err, SHK_FAILED, "cycles, instructions and cache misses cannot be counted: %s", reason);
}

static void close_some(const struct shk_counters *c, int count) {
    for (int i = 0; i < count; i++) close(c->file[i]);
}

bool shk_counters_open(const struct shk_event events[SHK_EVENTS], struct shk_counters *out, struct shk_error *err) {
    for (int i = 0; i < SHK_EVENTS; i++) {
        struct perf_event_attr attr = {.size = sizeof attr,
                                       .type = events[i].type,
                                       .config = events[i].config,
                                       .disabled = i == 0, // the others follow
                                       .exclude_kernel = 1,
                                       .exclude_hv = 1,
                                       .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED |
                                                      PERF_FORMAT_TOTAL_TIME_RUNNING};
        const int leader = i ? out->file[0] : -1;
        out->file[i] = (int)syscall(SYS_perf_event_open, &attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
        if (out->file[i] >= 0) continue;
        const int error = errno;
        close_some(out, i);
        return refuse(error, err);
    }
    return true;
}

void shk_counters_start(const struct shk_counters *c) { ioctl(c->file[0], PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP); }

void shk_counters_stop(const struct shk_counters *c) { ioctl(c->file[0], PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP); }

bool shk_counters_close(const struct shk_counters *c, struct shk_counted *out, struct shk_error *err) {
    struct {
        uint64_t count, enabled, running, value[SHK_EVENTS];
    } group;
    const bool ok = read(c->file[0], &group, sizeof group) == (ssize_t)sizeof group && group.running > 0;
    close_some(c, SHK_EVENTS);
    if (!ok)
        return shk_fail(err, SHK_FAILED, "the CPU's counters are in use: stop other programs that count, such as perf");
    out->share = (double)group.running / (double)group.enabled;
    for (int i = 0; i < SHK_EVENTS; i++) out->value[i] = (double)group.value[i] / out->share;
    return true;
}

#else

const struct shk_event shk_cpu_events[SHK_EVENTS];

bool shk_counters_open(const struct shk_event events[SHK_EVENTS], struct shk_counters *out, struct shk_error *err) {
    (void)events, (void)out;
    return shk_fail(err, SHK_FAILED,
                    "cycles, instructions and cache misses cannot be counted: only Linux lends counters");
}

void shk_counters_start(const struct shk_counters *c) { (void)c; }
void shk_counters_stop(const struct shk_counters *c) { (void)c; }

bool shk_counters_close(const struct shk_counters *c, struct shk_counted *out, struct shk_error *err) {
    (void)c, (void)out, (void)err;
    return false;
}

#endif
