// SPDX-License-Identifier: MIT
// Which threads on which machine: described machines, quotas from fake trees of files, settings, and the masks of this process.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/runtime.h"
#include "machine/conditions.h"
#include "machine/cpulist.h"
#include "machine/described.h"
#include "machine/load.h"
#include "machine/quota.h"
#include "machine/variables.h"
#include "tree.h"
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <shikaku/machine.h>
#include <shikaku/shikaku.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- Described machines ----

struct expectation {
    struct shk_machine_options machine;
    struct shk_choice_options choice;
    unsigned threads;
    const char *cpus;    // where pinned; NULL: not pinned
    const char *line;    // must be in the line; or NULL
    const char *warning; // must be in the only warning; NULL: no warning
    bool polls;
};

#define SOCKETS "package:2 core:8 pu:2"
#define NODES "package:2 numa:2 l3:1 core:4 pu:1"
#define HYBRID "tests/machines/hybrid-8p8e.xml"
#define BIG_LITTLE "tests/machines/arm-4-4.xml"
#define MACHINES "tests/machines/"
#define LOW_POWER MACHINES "intel-2p-8e-2lp.xml"
#define PRIME "tests/machines/arm-4-3-1.xml"

static const struct expectation expectations[] = {
    // One core: one thread, which has every core.
    {{.synthetic = "core:1 pu:1"}, {0}, 1, "0", "1 of 1 CPU (1 core allowed)", NULL, false},
    {{.synthetic = "core:1 pu:2"}, {0}, 1, "0", "1 of 2 CPUs (1 core allowed)", NULL, false},
    // Two sockets of eight cores with two hardware threads.
    {{.synthetic = SOCKETS}, {0}, 16, "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30", "16 of 32 CPUs", NULL, true},
    {{.synthetic = SOCKETS}, {.threads = 4}, 4, NULL, "(asked for; 16 cores allowed); not pinned", NULL, true},
    {{.synthetic = SOCKETS}, {.threads = 4, .pin = "cores"}, 4, "0,2,4,6", NULL, NULL, true},
    {{.synthetic = SOCKETS}, {.threads = 4, .pin = "compact"}, 4, "0-3", "compact", NULL, true},
    {{.synthetic = SOCKETS}, {.threads = 4, .pin = "scatter"}, 4, "0,16,2,18", "scatter", NULL, true},
    {{.synthetic = SOCKETS},
     {.threads = 18, .pin = "cores"},
     18,
     "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30,1,3",
     NULL,
     NULL,
     true},
    {{.synthetic = SOCKETS}, {.pin = "none"}, 16, NULL, "not pinned, as asked", NULL, true},
    {{.synthetic = SOCKETS}, {.pin = "8,3-5"}, 4, "8,3-5", "4 listed", NULL, true},
    {{.synthetic = SOCKETS}, {.pin = "8,3-5", .threads = 2}, 2, "8,3", NULL, NULL, true},
    {{.synthetic = SOCKETS}, {.pin = "8,3", .threads = 3}, 3, "8,3,8", NULL, "name as many CPUs", true},
    {{.synthetic = SOCKETS}, {.threads = 33}, 33, NULL, "more threads than CPUs", "use 32 threads", true},
    // Four NUMA nodes.
    {{.synthetic = NODES}, {0}, 16, "0-15", "memory on NUMA nodes 0-3, each thread's own", NULL, true},
    {{.synthetic = NODES}, {.threads = 4, .pin = "cores"}, 4, "0-3", "memory on NUMA node 0", NULL, true},
    {{.synthetic = NODES}, {.threads = 4, .pin = "scatter"}, 4, "0,8,4,12", "NUMA nodes 0-3", NULL, true},
    {{.synthetic = NODES}, {.threads = 4}, 4, NULL, "NUMA nodes 0-3, where a thread first runs", NULL, true},
    {{.synthetic = NODES, .allow = "4-7"}, {0}, 4, "4-7", "memory on NUMA node 1", NULL, true},
    // Eight fast cores with two hardware threads, eight small ones.
    {{.xml = HYBRID}, {0}, 8, "0,2,4,6,8,10,12,14", "8 of 24 CPUs (8 P-cores allowed)", NULL, true},
    {{.xml = HYBRID, .quota = 6.5}, {0}, 6, NULL, "6 of 24 CPUs (8 P-cores allowed, cgroup quota 6.5)", NULL, false},
    {{.xml = HYBRID, .quota = 6.5}, {.pin = "cores"}, 6, "0,2,4,6,8,10", "pinned to CPUs 0,2,4,6,8,10", NULL, false},
    {{.xml = HYBRID}, {.threads = 17, .pin = "cores"}, 17, "0,2,4,6,8,10,12,14,16-23,1", NULL, NULL, true},
    {{.xml = HYBRID}, {.threads = 17, .pin = "compact"}, 17, "0-16", NULL, NULL, true},
    {{.xml = HYBRID, .allow = "3-5,16-17"}, {0}, 2, "3-4", "(2 P-cores allowed)", NULL, true},
    {{.xml = HYBRID, .allow = "16-20"}, {0}, 5, "16-20", "(5 E-cores allowed)", NULL, true},
    // big.LITTLE: four and four; four, three and one that is a bit faster.
    {{.xml = BIG_LITTLE}, {0}, 4, "4-7", "4 of 8 CPUs (4 P-cores allowed)", NULL, true},
    {{.xml = BIG_LITTLE, .allow = "0-3"}, {0}, 4, "0-3", "(4 E-cores allowed)", NULL, true},
    {{.xml = PRIME}, {0}, 4, "4-7", "4 of 8 CPUs (4 P-cores allowed)", NULL, true},
    {{.xml = MACHINES "arm-10-10.xml"}, {0}, 20, "0-19", "20 of 20 CPUs (20 cores allowed)", NULL, true},
    // AMD: cores that clock a bit higher than the others, and dense ones, with and without names.
    {{.xml = MACHINES "amd-2-14-clocks.xml"},
     {0},
     16,
     "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30",
     "16 of 32 CPUs (16 cores allowed)",
     NULL,
     true},
    {{.xml = MACHINES "amd-4-8.xml"}, {0}, 12, "0-11", "12 of 24 CPUs (12 cores allowed)", NULL, true},
    {{.xml = MACHINES "amd-4-8-clocks.xml"}, {0}, 12, "0-11", "12 of 24 CPUs (12 cores allowed)", NULL, true},
    {{.xml = MACHINES "amd-4-8.xml", .allow = "4-11"}, {0}, 8, "4-11", "(8 cores allowed)", NULL, true},
    // Intel with low-power cores, and where clocks alone are known.
    {{.xml = LOW_POWER}, {0}, 2, "0,2", "2 of 14 CPUs (2 P-cores allowed)", NULL, true},
    {{.xml = LOW_POWER, .allow = "4-13"}, {0}, 8, "4-11", "(8 E-cores allowed)", NULL, true},
    {{.xml = LOW_POWER, .allow = "12-13"}, {0}, 2, "12-13", "(2 E-cores allowed)", NULL, true},
    {{.xml = LOW_POWER}, {.threads = 12, .pin = "cores"}, 12, "0,2,4-13", NULL, NULL, true},
    {{.xml = MACHINES "intel-6p-8e-clocks.xml"}, {0}, 6, "0,2,4,6,8,10", "6 of 20 CPUs (6 P-cores", NULL, true},
    // More than 64 CPUs, and more tasks than that.
    {{.synthetic = "package:2 core:64 pu:2"},
     {.tasks = 1000, .pin = "scatter"},
     128,
     NULL,
     "128 of 256 CPUs",
     NULL,
     true},
    {{.synthetic = "core:300 pu:1", .allow = "70-299"}, {0}, 230, "70-299", NULL, NULL, true},
    {{.synthetic = "core:1500 pu:1"}, {.pin = "none"}, SHK_MAX_THREADS, NULL, NULL, NULL, true},
    // A cpuset with holes.
    {{.synthetic = SOCKETS, .allow = "0,3,6-7,9,30"},
     {0},
     5,
     "0,3,6,9,30",
     "5 of 32 CPUs (5 cores allowed)",
     NULL,
     true},
    {{.synthetic = SOCKETS, .allow = "0,3,6-7,9,30"},
     {.threads = 6, .pin = "compact"},
     6,
     "0,3,6-7,9,30",
     NULL,
     NULL,
     true},
    // One hardware thread of each core.
    {{.synthetic = "core:4 pu:2", .allow = "1,3,5,7"}, {0}, 4, "1,3,5,7", "(4 cores allowed)", NULL, true},
    // Quotas.
    {{.synthetic = "core:8 pu:1", .quota = 0.5}, {0}, 1, NULL, "cgroup quota 0.5", NULL, false},
    {{.synthetic = "core:8 pu:1", .quota = 1}, {0}, 1, NULL, "cgroup quota 1", NULL, false},
    {{.synthetic = "core:8 pu:1", .quota = 6.5},
     {0},
     6,
     NULL,
     "6 of 8 CPUs (8 cores allowed, cgroup quota 6.5); not pinned",
     NULL,
     false},
    {{.synthetic = "core:8 pu:1", .quota = 6.5}, {.threads = 8}, 8, "0-7", NULL, "use 6 threads", false},
    {{.synthetic = "core:8 pu:1", .quota = 0.5}, {.threads = 2}, 2, NULL, NULL, "use 1 thread,", false},
    {{.synthetic = "core:8 pu:1", .quota = 8}, {0}, 8, "0-7", NULL, NULL, true},
    // Fewer tasks than cores.
    {{.synthetic = "core:128 pu:1"},
     {.tasks = 16},
     16,
     NULL,
     "16 of 128 CPUs (128 cores allowed, 16 tasks a step)",
     NULL,
     true},
    {{.synthetic = "core:128 pu:1"}, {.tasks = 16, .threads = 20}, 20, NULL, NULL, "a step has 16 tasks", true},
};

static void check(const struct expectation *e, const struct shk_choice *c) {
    char cpus[200] = "";
    if (c->pinned) shk_cpulist_format(c->cpu, c->threads, cpus, sizeof cpus);
    bool scattered = e->choice.pin && strcmp(e->choice.pin, "scatter") == 0 && !e->cpus;
    const char *want = e->cpus ? e->cpus : "";
    bool ok = c->threads == e->threads && (scattered || strcmp(cpus, want) == 0) && c->polls == e->polls &&
              (!e->line || strstr(c->line, e->line)) && c->warnings == (e->warning != NULL) &&
              (!e->warning || strstr(c->warning[0], e->warning)) && c->automatic == (e->choice.threads == 0);
    if (ok) return;
    fail_msg("expectation %zu:\n%s\nCPUs '%s' for '%s', %u warnings (%s), polls %d", (size_t)(e - expectations),
             c->line, cpus, want, c->warnings, c->warning[0], c->polls);
}

static void test_machines(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++) {
        const struct expectation *e = &expectations[i];
        struct shk_error err = {0};
        struct shk_choice choice;
        struct shk_machine *m = shk_machine_create(&e->machine, &err);
        if (!m || !shk_machine_choose(m, &e->choice, &choice, &err)) fail_msg("expectation %zu: %s", i, err.text);
        check(e, &choice);
        shk_machine_free(m);
    }
}

// Each CPU once, and neighbours in different packages.
static void test_scatter(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_choice c;
    struct shk_machine *m =
        shk_machine_create(&(struct shk_machine_options){.synthetic = "package:4 l3:2 core:8 pu:2"}, &err);
    assert_true(shk_machine_choose(m, &(struct shk_choice_options){.pin = "scatter", .threads = 128}, &c, &err));
    bool seen[128] = {false};
    for (unsigned i = 0; i < c.threads; i++) {
        assert_true(c.cpu[i] < 128 && !seen[c.cpu[i]]);
        seen[c.cpu[i]] = true;
        if (i) assert_int_not_equal(c.cpu[i] / 32, c.cpu[i - 1] / 32);
    }
    // Four threads on four packages, eight on all eight L3s, 64 on all cores.
    bool l3[8] = {false}, core[64] = {false};
    for (unsigned i = 0; i < 8; i++) l3[c.cpu[i] / 16] = true;
    for (unsigned i = 0; i < 64; i++) core[c.cpu[i] / 2] = true;
    for (unsigned i = 0; i < 8; i++) assert_true(l3[i]);
    for (unsigned i = 0; i < 64; i++) assert_true(core[i]);
    shk_machine_free(m);
}

static void test_bad_settings(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_choice c;
    const struct shk_machine_options bad_machines[] = {{.synthetic = "nonsense:2"},
                                                       {.xml = "tests/machines/none.xml"},
                                                       {.xml = "Makefile"},
                                                       {.synthetic = "core:2 pu:1", .allow = "2"},
                                                       {.synthetic = "core:2 pu:1", .allow = ""},
                                                       {.synthetic = "core:2 pu:1", .allow = "0,"},
                                                       {.synthetic = "core:2 pu:1", .xml = HYBRID}};
    for (size_t i = 0; i < sizeof bad_machines / sizeof *bad_machines; i++) {
        err.code = SHK_OK;
        assert_null(shk_machine_create(&bad_machines[i], &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
    }
    struct shk_machine *m =
        shk_machine_create(&(struct shk_machine_options){.synthetic = "core:8 pu:1", .allow = "0-3,6"}, &err);
    const char *pins[] = {"foo", "",   "Cores", "4",  "0-7",   "-1",  "0,0",
                          "3-1", "0-", "1,",    " 1", "70000", "0x1", "99999999999"};
    for (size_t i = 0; i < sizeof pins / sizeof *pins; i++) {
        err.code = SHK_OK;
        assert_false(shk_machine_choose(m, &(struct shk_choice_options){.pin = pins[i]}, &c, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
    }
    assert_false(shk_machine_choose(m, &(struct shk_choice_options){.pin = "0-7"}, &c, &err));
    assert_non_null(strstr(err.text, "names CPU 4, which this process may not use: it may use 0-3,6"));
    assert_false(shk_machine_choose(m, &(struct shk_choice_options){.threads = SHK_MAX_THREADS + 1}, &c, &err));
    shk_machine_free(m);
}

// Puts a copy of the file without the attribute at `at` into the tree; returns what is behind that.
static const char *leave_out(const char *text, const char *at) {
    static char copy[1 << 16];
    const char *end = strchr(strchr(at, '"') + 1, '"') + 1;
    memcpy(copy, text, (size_t)(at - text));
    snprintf(copy + (at - text), sizeof copy - (size_t)(at - text), "%s", end);
    tree_write("/machine.xml", copy);
    return end;
}

// A file in which an attribute is missing is a machine or is refused, whatever hwloc does: each attribute of the first lines.
static void test_xml_with_gaps(void **state) {
    (void)state;
    static char text[1 << 16];
    char path[500];
    FILE *file = fopen(BIG_LITTLE, "r");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    snprintf(path, sizeof path, "%s/machine.xml", tree);
    size_t tried = 0;
    for (const char *at = strstr(text, "<object"); tried < 60 && (at = strchr(at, ' ')); tried++) {
        while (*at == ' ') at++;
        if (*at == '<') at = strchr(at, ' ') + 1;
        if (strncmp(at, "os_index", 8) == 0) continue; // CPUs without a number cost hwloc seconds
        at = leave_out(text, at);
        struct shk_error err = {0};
        struct shk_machine *m = shk_machine_create(&(struct shk_machine_options){.xml = path}, &err);
        if (!m && err.code != SHK_BAD_INPUT) fail_msg("attribute %zu: %s", tried, err.text);
        shk_machine_free(m);
    }
    assert_int_equal(tried, 60);
    tree_clear();
}

static bool crash(void *arg, struct shk_error *err) {
    (void)arg, (void)err;
    return raise(SIGSEGV) == 0;
}
static bool touch(void *arg, struct shk_error *err) {
    (void)err;
    *(volatile int *)arg = 1;
    return true;
}
static bool refuse(void *arg, struct shk_error *err) {
    (void)arg;
    return shk_fail(err, SHK_FAILED, "no");
}

static void test_trials(void **state) {
    (void)state;
    int touched = 0;
    struct shk_error err = {0};
    assert_true(shk_described_try("x", touch, &touched, &err));
    assert_int_equal(touched, 0);
    assert_false(shk_described_try("x", refuse, NULL, &err));
    assert_string_equal(err.text, "no");
    assert_int_equal(err.code, SHK_FAILED);
    assert_false(shk_described_try("x.xml", crash, NULL, &err));
    assert_non_null(strstr(err.text, "breaks down over x.xml"));
    assert_int_equal(err.code, SHK_BAD_INPUT);
}

// Too large ones are refused before hwloc spends its time on them.
static void test_described_sizes(void **state) {
    (void)state;
    static const char *const large[] = {"pu:8000", "core:200000 pu:1", "package:2 numa:64 core:64 pu:1",
                                        "package:99999999999999999999 pu:1", "64 64 pu:2"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        struct shk_error err = {0};
        assert_null(shk_machine_create(&(struct shk_machine_options){.synthetic = large[i]}, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        assert_non_null(strstr(err.text, "4096 CPUs"));
    }
    struct shk_error err = {0};
    assert_true(shk_described_size("package:2 [numa(memory=1GB)] core:8(indexes=0,1) pu:2", &err));
}

static void test_cpulists(void **state) {
    (void)state;
    unsigned cpus[8], n;
    char text[16];
    assert_true(shk_cpulist_parse("0-2,7,5", cpus, 8, &n));
    assert_int_equal(n, 5);
    shk_cpulist_format(cpus, n, text, sizeof text);
    assert_string_equal(text, "0-2,7,5");
    assert_false(shk_cpulist_parse("0-8", cpus, 8, &n)); // nine
    assert_true(shk_cpulist_parse("100,300,500,700", cpus, 8, &n));
    shk_cpulist_format(cpus, n, text, sizeof text);
    assert_string_equal(text, "100,300,500,...");
}

// ---- Quotas, from trees of files ----

static struct shk_quota read_tree(void) {
    struct shk_quota q;
    shk_quota_read(tree, &q);
    return q;
}

#define MOUNT_V2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1 "33 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_OTHER                                                                                                    \
    "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static void test_quota_v2(void **state) {
    (void)state;
    tree_write("/proc/self/mountinfo", MOUNT_OTHER MOUNT_V2);
    tree_write("/proc/self/cgroup", "0::/a/b/c\n");
    struct shk_quota q = read_tree();
    assert_true(q.cpus <= 0);
    // Nested: the tightest on the way up counts; the root has none.
    tree_write("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_true(read_tree().cpus <= 0);
    tree_write("/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    tree_write("/sys/fs/cgroup/a/cpu.max", "325000 50000\n");
    tree_write("/sys/fs/cgroup/a/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 1500000\n");
    q = read_tree();
    assert_true(q.cpus > 6.499 && q.cpus < 6.501);
    assert_non_null(strstr(q.file, "/sys/fs/cgroup/a/cpu.max"));
    assert_true(q.events == 3 && q.throttled > 1.49 && q.throttled < 1.51);
    assert_string_equal(q.malformed, "");
    tree_write("/sys/fs/cgroup/a/b/c/cpu.max", "50000 100000\n");
    q = read_tree();
    assert_true(q.cpus > 0.499 && q.cpus < 0.501);
    // Malformed ones are named and ignored.
    const char *malformed[] = {"",
                               "\n",
                               "max\n",
                               "x 100000\n",
                               "100000\n",
                               "-1 100000\n",
                               "100000 0\n",
                               "0 100000\n",
                               "1e5 100000\n",
                               "100000 100000 1\n",
                               "100000 100000x\n",
                               "99999999999999999999999 100000\n"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        tree_write("/sys/fs/cgroup/a/b/c/cpu.max", malformed[i]);
        q = read_tree();
        assert_true(q.cpus > 6.499 && q.cpus < 6.501);
        assert_non_null(strstr(q.malformed, "/a/b/c/cpu.max"));
    }
    tree_clear();
}

static void test_quota_v1(void **state) {
    (void)state;
    tree_write("/proc/self/mountinfo", MOUNT_OTHER MOUNT_V1);
    tree_write("/proc/self/cgroup", "12:cpuset:/other\n4:cpu,cpuacct:/docker/xyz\n0::/\n");
    tree_write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    tree_write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_true(read_tree().cpus <= 0);
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/xyz/cpu.cfs_quota_us", "250000\n");
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/xyz/cpu.cfs_period_us", "100000\n");
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/xyz/cpu.stat",
               "nr_periods 4\nnr_throttled 2\nthrottled_time 250000000\n");
    struct shk_quota q = read_tree();
    assert_true(q.cpus > 2.499 && q.cpus < 2.501 && q.events == 2 && q.throttled > 0.249 && q.throttled < 0.251);
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "100000\n");
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    q = read_tree();
    assert_true(q.cpus > 0.999 && q.cpus < 1.001);
    tree_write("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "lots\n");
    q = read_tree();
    assert_true(q.cpus > 2.499 && q.cpus < 2.501);
    assert_non_null(strstr(q.malformed, "/docker/cpu.cfs_quota_us"));
    // Both versions at once, as systemd's hybrid layout has them, and a mount point with a space.
    tree_write("/proc/self/mountinfo", "41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n" MOUNT_V1);
    tree_write("/proc/self/cgroup", "4:cpu,cpuacct:/docker/xyz\n0::/deep\n");
    tree_write("/sys/fs/cgroup/uni fied/deep/cpu.max", "150000 100000\n");
    q = read_tree();
    assert_true(q.cpus > 1.499 && q.cpus < 1.501);
    tree_clear();
}

// In a container: a part of the tree is mounted, with or without a namespace of its own.
static void test_quota_namespaces(void **state) {
    (void)state;
    tree_write("/proc/self/mountinfo", "30 20 0:26 /docker/xyz /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    tree_write("/proc/self/cgroup", "0::/docker/xyz/job\n");
    tree_write("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
    tree_write("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    assert_true(read_tree().cpus > 3.999 && read_tree().cpus < 4.001);
    tree_write("/proc/self/cgroup", "0::/\n"); // not below what is mounted
    assert_true(read_tree().cpus > 3.999 && read_tree().cpus < 4.001);
    tree_write("/proc/self/cgroup", "0::/../elsewhere\n");
    assert_true(read_tree().cpus > 3.999 && read_tree().cpus < 4.001);
    tree_write("/proc/self/cgroup", "0::/docker/xyzzy\n"); // a sibling with a longer name
    assert_true(read_tree().cpus > 3.999 && read_tree().cpus < 4.001);
    tree_write("/proc/self/mountinfo", "not a mount\n30 20 0:26 / /sys/fs/cgroup\n");
    assert_true(read_tree().cpus <= 0);
    tree_write("/proc/self/cgroup", "nonsense\n");
    assert_true(read_tree().cpus <= 0);
    tree_clear();
    assert_true(read_tree().cpus <= 0);
}

// ---- Load, from trees of files ----

static struct shk_load_mark mark_tree(const struct shk_machine *m) {
    struct shk_load_mark mark;
    shk_load_mark(tree, m, &mark);
    return mark;
}

static bool near(double a, double b) { return fabs(a - b) < 1e-6; }

// Ticks are of 10 ms. The third CPU is not allowed.
static void test_load(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_machine *m =
        shk_machine_create(&(struct shk_machine_options){.synthetic = "core:4 pu:1", .allow = "0-1"}, &err);
    tree_write("/proc/stat", "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 10 20 700 5 1 2 30 0 0\ncpu1 100 0 0 0 0 0 0 0 0 0\n"
                             "cpu2 9999 0 0 0 0 0 0 9999 0 0\nintr 5\n");
    tree_write("/proc/self/task/7/schedstat", "1000000000 250000000 5\n");
    tree_write("/proc/self/task/8/schedstat", "0 500000000 5\n");
    tree_write("/proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0 total=1\n");
    struct shk_load_mark mark = mark_tree(m);
    assert_true(near(mark.busy, 2.33) && near(mark.stolen, 0.3) && near(mark.waited, 0.75) && mark.own > 0);
    tree_clear();
    tree_write("/proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0 total=1\n");
    mark = mark_tree(m); // an old or a strange kernel
    assert_true(near(mark.busy, 0) && near(mark.waited, 2));
    tree_write("/proc/pressure/cpu", "nonsense\n");
    assert_true(near(mark_tree(m).waited, 0));
    tree_clear();
    shk_machine_free(m);
}

static struct shk_conditions read_conditions(const struct shk_machine *m) {
    struct shk_conditions c;
    shk_conditions_read(tree, m, &c);
    return c;
}

// The third CPU is not allowed.
static void test_conditions(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_machine *m =
        shk_machine_create(&(struct shk_machine_options){.synthetic = "core:3 pu:1", .allow = "0-1"}, &err);
    tree_write("/proc/cpuinfo", "processor\t: 0\nmicrocode\t: 0xb00215a\ncache size\t: 1 KB\n");
    tree_write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    tree_write("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n");
    tree_write("/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave\n");
    tree_write("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
    tree_write("/proc/loadavg", "1.50 0.25 3.00 2/311 4711\n");
    struct shk_conditions c = read_conditions(m);
    assert_string_equal(c.microcode, "0xb00215a");
    assert_string_equal(c.governor, "performance");
    assert_string_equal(c.boost, "off");
    assert_true(near(c.load[0], 1.5) && near(c.load[1], 0.25) && near(c.load[2], 3) && near(c.throttled, 0));
    tree_write("/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
    tree_write("/sys/devices/system/cpu/cpufreq/boost", "1\n");
    c = read_conditions(m);
    assert_string_equal(c.governor, "mixed");
    assert_string_equal(c.boost, "on");
    tree_clear();
    c = read_conditions(m);
    assert_true(!*c.microcode && !*c.governor && !*c.boost);
    shk_machine_free(m);
}

// Ten seconds on two CPUs.
static void test_load_sentence(void **state) {
    (void)state;
    static const struct {
        double own, busy, stolen, waited;
        const char *says; // NULL: nothing
    } cases[] = {
        {20, 20, 0, 0, NULL},                                       // all for this process
        {10, 20, 0, 10, "no CPU for 50 % of their time, as other"}, // two programs share
        {10, 20, 0, 10, "took 1 of the 2 CPUs that this one may"},  //
        {10, 20, 0, 0.1, NULL},                                     // one thread, and another program beside it
        {20, 20, 0, 60, NULL},                                      // more threads than CPUs
        {10, 10, 10, 0, "and the virtual machine's host 1: stop"},  //
        {0.2, 0.7, 0, 0.2, NULL},                                   // too short to say
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct shk_load_mark before = {.clock = 5, .own = 1, .busy = 100, .stolen = 3, .waited = 7};
        const struct shk_load_mark now = {15, 1 + cases[i].own, 100 + cases[i].busy, 3 + cases[i].stolen,
                                          7 + cases[i].waited};
        const struct shk_load load = shk_load_between(&before, &now, 2);
        if (cases[i].says ? !strstr(load.sentence, cases[i].says) : *load.sentence != 0)
            fail_msg("load %zu: '%s'", i, load.sentence);
    }
}

// ---- This process ----

static cpu_set_t mask_of_this_thread(void) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    return mask;
}

struct masks {
    cpu_set_t during[8];
    unsigned n;
};

static bool look(const struct shk_epoch *epoch, void *user) {
    (void)epoch;
    struct masks *m = user;
    m->during[m->n++] = mask_of_this_thread();
    return true;
}

// The calling thread is pinned while it trains and has its mask back afterwards, and so have OpenMP's threads.
static void test_masks(void **state) {
    (void)state;
    struct shk_error err;
    const cpu_set_t before = mask_of_this_thread();
    unsigned allowed = (unsigned)CPU_COUNT(&before), wrong = 0;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.threads = 2, .pin = "cores"}, &err);
    struct shk_dataset *data = shk_dataset_squares(&(struct shk_squares_options){.n = 70, .invert = 0.5}, &err);
    const struct shk_shape shape = shk_dataset_shape(data);
    struct shk_model *model = shk_model_create("cnn:channels=4,hidden=0", &shape, 1, &err);
    struct shk_trainer *trainer = shk_trainer_create(model, r, NULL, &err);
    struct masks masks = {.n = 0};
    assert_true(shk_train(trainer, data, NULL, 2, &(struct shk_callbacks){.on_epoch = look, .user = &masks}, &err));
    assert_int_equal(masks.n, 2);
    assert_int_equal(CPU_COUNT(&masks.during[1]), 1);
#pragma omp parallel num_threads(2) reduction(+ : wrong)
    {
        cpu_set_t mask = mask_of_this_thread();
        wrong += !CPU_EQUAL(&mask, &before);
    }
    assert_int_equal(wrong, 0);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(data);
    shk_runtime_free(r);
    // A second runtime counts all CPUs again.
    r = shk_runtime_create(&(struct shk_runtime_options){.tasks = 1000}, &err);
    struct shk_machine *m = shk_machine_create(NULL, &err);
    assert_int_equal(shk_machine_info(m)->allowed_cpus, allowed);
    assert_true(shk_machine_info(m)->here);
    assert_true(shk_runtime_threads(r) >= 1 && shk_runtime_threads(r) <= allowed);
    shk_machine_free(m);
    shk_runtime_free(r);
}

static uint64_t hash_after_training(bool many_nodes, const char *description) {
    struct shk_error err;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.threads = 3, .pin = "scatter"}, &err);
    r->team.many_nodes = many_nodes;
    struct shk_dataset *data = shk_dataset_squares(&(struct shk_squares_options){.n = 100, .invert = 0.5}, &err);
    const struct shk_shape shape = shk_dataset_shape(data);
    struct shk_model *model = shk_model_create(description, &shape, 1, &err);
    uint64_t before = shk_model_hash(model);
    struct shk_trainer *trainer = shk_trainer_create(model, r, NULL, &err);
    assert_non_null(trainer);
    assert_true(shk_model_hash(model) == before);
    assert_true(shk_train(trainer, data, data, 1, NULL, &err));
    uint64_t hash = shk_model_hash(model);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(data);
    shk_runtime_free(r);
    return hash;
}

// Memory placed for several NUMA nodes gives the same weights.
static void test_placement(void **state) {
    (void)state;
    const char *const models[] = {"tinycnn", "tinyvit"};
    for (size_t i = 0; i < 2; i++)
        assert_true(hash_after_training(true, models[i]) == hash_after_training(false, models[i]));
}

// A trainer with fewer shards than the machine has cores takes no more threads, unless they are asked for.
static void test_tasks(void **state) {
    (void)state;
    assert_int_equal(shk_train_shards(NULL), 64);
    assert_int_equal(shk_train_shards(&(struct shk_train_options){.batch = 64, .shards = 100}), 64);
    assert_int_equal(shk_train_shards(&(struct shk_train_options){.batch = SHK_MAX_BATCH + 1}), 0);
    struct shk_error err;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.tasks = 1}, &err);
    assert_int_equal(shk_runtime_threads(r), 1);
    shk_runtime_free(r);
    const struct {
        const char *name, *value;
    } bad[] = {{"SHIKAKU_PIN", "foo"}, {"SHIKAKU_PIN", "0-70000"}, {"SHIKAKU_THREADS", "-1"}, {"OMP_NUM_THREADS", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv(bad[i].name, bad[i].value, 1);
        err.code = SHK_OK;
        assert_null(shk_runtime_create(NULL, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        assert_non_null(strstr(err.text, bad[i].name));
        unsetenv(bad[i].name);
    }
}

// OpenMP's variables, with blanks and in any case as its specification has them. What makes no sense is named.
static void test_openmp_variables(void **state) {
    (void)state;
    static const struct {
        const char *name, *good[8], *bad[8];
    } cases[] = {
        {"OMP_NUM_THREADS", {"2", " 2", "2 ,4", "1 ", "", "2,1", " "}, {"0", "2,x", "2,", "-1", "1e3", "1025", "2 4"}},
        {"OMP_THREAD_LIMIT", {"1", " 8 ", ""}, {"0", "x", "1,2", "99999999999"}},
        {"OMP_MAX_ACTIVE_LEVELS", {"0", "4"}, {"-1", "one"}},
        {"OMP_DYNAMIC", {"true", "FALSE "}, {"1", "yes"}},
        {"OMP_PROC_BIND",
         {"true", " False", "close", "close , SPREAD", "primary"},
         {"nonsense", "true,close", "close,"}},
        {"OMP_PLACES",
         {"cores", "Threads (2)", "{0}", "{0,1},{2:2:2}:3:-1", "{0:2},!{1}", "numa_domains", "0,1"},
         {"core", "cores(0)", "{0", "{}", "{0:0}", "{0},", "cores,threads"}},
        {"GOMP_CPU_AFFINITY", {"0 3 1-2 4-15:2", "0,1", "7"}, {"-1", "3-1", "0-", "0:2", "a", "0-4:0"}},
        {"OMP_WAIT_POLICY", {"active", "PASSIVE"}, {"idle"}},
        {"OMP_STACKSIZE", {"512", "1 m", "2G", "262144b"}, {"0", "foo", "16k", "255", "4t", "4mm", "99999999999999g"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t k = 0; k < 8 && cases[i].good[k]; k++) {
            setenv(cases[i].name, cases[i].good[k], 1);
            struct shk_error err = {0};
            if (!shk_variables_check(&err)) fail_msg("%s='%s': %s", cases[i].name, cases[i].good[k], err.text);
        }
        for (size_t k = 0; k < 8 && cases[i].bad[k]; k++) {
            setenv(cases[i].name, cases[i].bad[k], 1);
            struct shk_error err = {0};
            if (shk_variables_check(&err)) fail_msg("%s='%s' is taken", cases[i].name, cases[i].bad[k]);
            assert_int_equal(err.code, SHK_BAD_INPUT);
            assert_non_null(strstr(err.text, cases[i].name));
        }
        unsetenv(cases[i].name);
    }
    setenv("OMP_NUM_THREADS", " 3 , 5", 1);
    assert_int_equal(shk_variables_threads(), 3);
    setenv("OMP_STACKSIZE", " 2 M", 1);
    assert_int_equal(shk_variables_stack(), 2 << 20);
    unsetenv("OMP_NUM_THREADS");
    unsetenv("OMP_STACKSIZE");
}

int main(void) {
    const char *const variables[] = {"SHIKAKU_PIN", "SHIKAKU_THREADS",   "OMP_NUM_THREADS", "OMP_PROC_BIND",
                                     "OMP_PLACES",  "GOMP_CPU_AFFINITY", "KMP_AFFINITY"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    if (!tree_create()) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_machines),
                                       cmocka_unit_test(test_scatter),
                                       cmocka_unit_test(test_bad_settings),
                                       cmocka_unit_test(test_cpulists),
                                       cmocka_unit_test(test_xml_with_gaps),
                                       cmocka_unit_test(test_trials),
                                       cmocka_unit_test(test_described_sizes),
                                       cmocka_unit_test(test_quota_v2),
                                       cmocka_unit_test(test_quota_v1),
                                       cmocka_unit_test(test_quota_namespaces),
                                       cmocka_unit_test(test_load),
                                       cmocka_unit_test(test_conditions),
                                       cmocka_unit_test(test_load_sentence),
                                       cmocka_unit_test(test_placement),
                                       cmocka_unit_test(test_masks),
                                       cmocka_unit_test(test_tasks),
                                       cmocka_unit_test(test_openmp_variables)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tree_remove();
    return failed;
}
