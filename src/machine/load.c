// SPDX-License-Identifier: MIT
// This asks the kernel who had the CPUs: /proc/stat, the run queues of this process's threads, and else the pressure on CPUs.
#include "machine/load.h"

#include "base/cgroup.h"
#include "base/clock.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// Less than that is noise.
static const double LEAST_SHARE = 0.05, LEAST_HELD_UP = 0.1, LEAST_SECONDS = 1;

static FILE *open_below(const char *root, const char *name) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s%s", root, name) < PATH_MAX ? fopen(path, "re") : NULL;
}

static bool is_allowed(const struct shk_machine *m, unsigned number) {
    for (unsigned i = 0; i < m->info.cpus; i++)
        if (m->cpus[i].number == number) return m->cpus[i].allowed;
    return false;
}

// The lines of /proc/stat: "cpu0 user nice system idle iowait irq softirq steal ...", in ticks.
static void read_cpus(const char *root, const struct shk_machine *m, struct shk_load_mark *out) {
    const double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    char *line = NULL;
    size_t size = 0;
    FILE *file = open_below(root, "/proc/stat");
    while (file && getline(&line, &size, file) > 0 && strncmp(line, "cpu", 3) == 0) {
        unsigned cpu;
        unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
        if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &user, &nice, &system, &idle, &wait,
                   &irq, &softirq, &steal) != 9 ||
            !is_allowed(m, cpu))
            continue;
        out->busy += tick * (double)(user + nice + system + irq + softirq);
        out->stolen += tick * (double)steal;
    }
    free(line);
    if (file) fclose(file);
}

// A thread's schedstat: time on CPUs and time in run queues, in ns. False where the kernel does not count them.
static bool read_queues(const char *root, double *waited) {
    char path[PATH_MAX], text[SHK_SMALL_FILE];
    if (snprintf(path, sizeof path, "%s/proc/self/task", root) >= PATH_MAX) return false;
    DIR *tasks = opendir(path);
    bool found = false;
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        char name[sizeof entry->d_name + 16];
        const char *at = text;
        uint64_t ran, queued;
        snprintf(name, sizeof name, "/%s/schedstat", entry->d_name);
        if (entry->d_name[0] == '.' || !shk_read_small(path, name, text)) continue;
        if (!shk_read_number(&at, " ", &ran) || !shk_read_number(&at, " ", &queued)) continue;
        *waited += 1e-9 * (double)queued;
        found = true;
    }
    if (tasks) closedir(tasks);
    return found;
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234", in us.
static void read_pressure(const char *root, double *waited) {
    char text[SHK_SMALL_FILE];
    if (!shk_read_small(root, "/proc/pressure/cpu", text)) return;
    const char *total = strstr(text, "total=");
    if (strncmp(text, "some ", 5) == 0 && total) *waited = 1e-6 * (double)strtoull(total + 6, NULL, 10);
}

void shk_load_mark(const char *root, const struct shk_machine *m, struct shk_load_mark *out) {
    struct rusage used;
    *out = (struct shk_load_mark){.clock = shk_seconds()};
    if (getrusage(RUSAGE_SELF, &used) == 0)
        out->own = (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
                   1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    read_cpus(root, m, out);
    if (!read_queues(root, &out->waited)) read_pressure(root, &out->waited);
}

static double grown(double before, double now) { return now > before ? now - before : 0; }

// Where others take CPUs that this process does not need, its threads do not wait.
static void describe(struct shk_load *l, unsigned cpus) {
    const double taken = l->others + l->stolen, wanted = l->own + l->waited + l->stolen;
    l->share = l->seconds > 0 ? taken / (l->seconds * cpus) : 0;
    l->held_up = wanted > 0 ? (l->waited + l->stolen) / wanted : 0;
    const bool matters =
        l->share >= LEAST_SHARE && l->held_up >= LEAST_HELD_UP && l->waited + l->stolen >= LEAST_SECONDS;
    char host[100] = "";
    if (l->stolen >= LEAST_SHARE * l->seconds)
        snprintf(host, sizeof host, ", and the virtual machine's host %.2g", l->stolen / l->seconds);
    if (matters)
        snprintf(
            l->sentence, sizeof l->sentence,
            "the machine is busy: threads had no CPU for %.0f %% of their time, as other programs took %.2g of the "
            "%u CPU%s that this one may use%s: stop them, or give it CPUs of its own, for its full speed",
            100 * l->held_up, l->others / l->seconds, cpus, cpus == 1 ? "" : "s", host);
}

struct shk_load shk_load_between(const struct shk_load_mark *before, const struct shk_load_mark *now, unsigned cpus) {
    struct shk_load l = {.seconds = grown(before->clock, now->clock),
                         .own = grown(before->own, now->own),
                         .stolen = grown(before->stolen, now->stolen),
                         .waited = grown(before->waited, now->waited)};
    l.others = grown(l.own, grown(before->busy, now->busy));
    describe(&l, cpus);
    return l;
}

struct shk_load shk_machine_load(struct shk_machine *m) {
    struct shk_load_mark now;
    shk_load_mark("", m, &now);
    const struct shk_load load = shk_load_between(&m->load, &now, m->info.allowed_cpus);
    m->load = now;
    return load;
}
