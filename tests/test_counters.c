// SPDX-License-Identifier: MIT
// A benchmark's counters count within steps alone, on all threads, and a refusal says why. Where the CPU's are missing, the system's own
// stand in for them here: the clock of a task, page faults and switches.
#include "training.h"

#include "base/counters.h"
#include "report/results.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <shikaku/bench.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { N = 96, BATCH = 32, STEPS = 6 };
static const struct shk_shape shape = {12, 12, 1, 3};

// What perf_event_open does: stands in, or fails with an error after so many calls.
static struct {
    atomic_int calls;
    int error, fail_from;
} plan;

static long stand_in(struct perf_event_attr *attr, int leader) {
    static const uint64_t config[] = {[PERF_COUNT_HW_CPU_CYCLES] = PERF_COUNT_SW_TASK_CLOCK,
                                      [PERF_COUNT_HW_INSTRUCTIONS] = PERF_COUNT_SW_PAGE_FAULTS,
                                      [PERF_COUNT_HW_CACHE_MISSES] = PERF_COUNT_SW_CONTEXT_SWITCHES};
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    assert_int_equal(attr->type, PERF_TYPE_HARDWARE);
    assert_true(attr->exclude_kernel && attr->exclude_hv && attr->disabled == (leader == -1));
    attr->type = PERF_TYPE_SOFTWARE;
    attr->config = config[attr->config];
    return real(SYS_perf_event_open, attr, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

// In the library's place of libc's.
long syscall(long number, ...) {
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_perf_event_open) {
        if (atomic_fetch_add(&plan.calls, 1) < plan.fail_from)
            return stand_in((struct perf_event_attr *)a[0], (int)a[3]);
        errno = plan.error;
        return -1;
    }
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void plan_calls(int fail_from, int error) {
    plan.calls = 0;
    plan.fail_from = fail_from;
    plan.error = error;
}

static unsigned open_files(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

struct bench {
    struct shk_dataset *data;
    struct shk_runtime *runtime;
    struct shk_bench *bench;
    struct shk_bench_step step[STEPS];
};

static void set_up(struct bench *b, unsigned threads) {
    struct shk_error err = {0};
    const struct shk_bench_options o = {.model = "cnn:channels=4,hidden=8", .batch = BATCH, .seed = 3};
    b->data = data_of(&shape, N, 7);
    b->runtime = shk_runtime_create(&(struct shk_runtime_options){.isa = "c", .threads = threads}, &err);
    assert_non_null(b->runtime);
    b->bench = shk_bench_create(&o, b->data, b->runtime, &err);
    if (!b->bench) fail_msg("%s", err.text);
}

static void tear_down(struct bench *b) {
    shk_bench_free(b->bench);
    shk_runtime_free(b->runtime);
    shk_dataset_free(b->data);
}

static size_t take(struct bench *b, struct shk_error *err) {
    return shk_bench_run(b->bench, &(struct shk_bench_limits){STEPS, STEPS, 0}, b->step, err);
}

static void test_unasked(void **state) {
    (void)state;
    struct bench b;
    struct shk_error err = {0};
    plan_calls(INT32_MAX, 0);
    set_up(&b, 2);
    assert_int_equal(take(&b, &err), STEPS);
    assert_true(fabs(shk_bench_counts(b.bench).share) + fabs(shk_bench_counts(b.bench).cycles) <= 0);
    assert_int_equal(plan.calls, 0);
    tear_down(&b);
}

static void test_counts_steps(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 2; threads++) {
        struct bench b;
        struct shk_error err = {0};
        double cpu = 0, seconds = 0;
        plan_calls(INT32_MAX, 0);
        set_up(&b, threads);
        const unsigned files = open_files();
        if (!shk_bench_count(b.bench, &err)) {
            printf("skipped: %s\n", err.text);
            tear_down(&b);
            return;
        }
        assert_int_equal(take(&b, &err), STEPS);
        assert_int_equal(plan.calls, SHK_EVENTS * (1 + (int)threads));
        assert_int_equal(open_files(), files);
        for (size_t i = 0; i < STEPS; i++) {
            seconds += b.step[i].seconds;
            cpu += b.step[i].cpu_seconds;
        }
        // Nanoseconds of all tasks: not what lies between the steps, which the bursts of the peak take. They hold what a
        // hypervisor has stolen, which CPU seconds do not.
        const struct shk_bench_counts c = shk_bench_counts(b.bench);
        assert_true(c.share > 0.99 && c.share <= 1);
        assert_true(c.cycles > 0 && c.cycles * 1e-9 < threads * seconds);
        if (threads == 1) assert_true(c.cycles * 1e-9 > 0.1 * cpu);
        // The next run begins at 0.
        assert_int_equal(take(&b, &err), STEPS);
        assert_true(shk_bench_counts(b.bench).cycles < 50 * c.cycles);
        tear_down(&b);
    }
}

// Of two threads one gets no counters: nothing is said that is not whole.
static void test_fails_later(void **state) {
    (void)state;
    struct bench b;
    struct shk_error err = {0};
    plan_calls(INT32_MAX, 0);
    set_up(&b, 2);
    const unsigned files = open_files();
    if (shk_bench_count(b.bench, &err)) {
        plan_calls(SHK_EVENTS + 1, EMFILE);
        assert_int_equal(take(&b, &err), 0);
        assert_string_equal(err.text, "cycles, instructions and cache misses cannot be counted: perf_event_open fails: "
                                      "Too many open files");
        assert_int_equal(open_files(), files);
        plan_calls(INT32_MAX, 0);
        assert_int_equal(take(&b, &err), STEPS);
    }
    tear_down(&b);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        int error;
        const char *text;
    } cases[] = {{ENOENT, "virtual machine"},
                 {EOPNOTSUPP, "virtual machine"},
                 {ENOSYS, "no perf_event_open"},
                 {EMFILE, "Too many open files"}};
    struct bench b;
    set_up(&b, 2);
    const unsigned files = open_files();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shk_error err = {0};
        plan_calls((int)i % 2, cases[i].error); // the first, or the second
        assert_false(shk_bench_count(b.bench, &err));
        assert_int_equal(err.code, SHK_FAILED);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_int_equal(open_files(), files);
    }
    // It goes on without.
    struct shk_error err = {0};
    assert_int_equal(take(&b, &err), STEPS);
    tear_down(&b);
}

static void test_reasons(void **state) {
    (void)state;
    char text[200];
    shk_counters_reason(EACCES, "3", text, sizeof text);
    assert_string_equal(text,
                        "kernel.perf_event_paranoid is 3; 'sysctl kernel.perf_event_paranoid=2' lets everyone count in "
                        "user space");
    shk_counters_reason(EPERM, "2", text, sizeof text);
    assert_non_null(strstr(text, "seccomp"));
    shk_counters_reason(EPERM, "", text, sizeof text);
    assert_non_null(strstr(text, "seccomp"));
}

static double number_of(const json_t *file, size_t repetition, const char *key) {
    const json_t *value = json_object_get(json_array_get(json_object_get(file, "benchmarks"), repetition), key);
    return value ? json_number_value(value) : -1;
}

// Of each repetition that was counted, by sample.
static void test_json(void **state) {
    (void)state;
    struct repetition r[2] = {{.steps = 2, .samples = 64, .rate = 1, .cpu_rate = 1, .peak = 1}};
    struct result result = {.name = "train", .threads = 1, .count = 2, .repetition = r};
    r[1] = r[0];
    r[1].counts = (struct shk_bench_counts){.cycles = 640, .instructions = 1280, .cache_misses = 32, .share = 0.75};
    json_t *file = results_to_json(json_object(), &result, 1);
    assert_non_null(file);
    assert_true(number_of(file, 0, "cycles_per_sample") < 0 && number_of(file, 0, "counted_share") < 0);
    assert_float_equal(number_of(file, 1, "cycles_per_sample"), 10, 1e-9);
    assert_float_equal(number_of(file, 1, "instructions_per_sample"), 20, 1e-9);
    assert_float_equal(number_of(file, 1, "cache_misses_per_sample"), 0.5, 1e-9);
    assert_float_equal(number_of(file, 1, "counted_share"), 0.75, 1e-9);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unasked), cmocka_unit_test(test_counts_steps), cmocka_unit_test(test_fails_later),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_reasons),      cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
