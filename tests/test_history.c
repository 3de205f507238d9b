// SPDX-License-Identifier: MIT
// Changes of a series are found where they are, and none where there are none; lines of the store are what was saved.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/baseline.h"
#include "report/changes.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 200 };

// The sum of four uniform numbers: nearly normal, with a deviation of 1.
static double noise(uint64_t *random) {
    double sum = -2;
    for (int i = 0; i < 4; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*random >> 11) * 0x1p-53;
    }
    return sum * sqrt(3);
}

static void test_step(void **state) {
    (void)state;
    double v[MOST];
    struct change found[MOST];
    uint64_t random = 5;
    for (size_t i = 0; i < 40; i++) v[i] = (i < 27 ? 100 : 94) * (1 + 0.01 * noise(&random));
    assert_int_equal(changes_find(v, 40, 0.01, found), 1);
    assert_int_equal(found[0].at, 27);
    assert_true(fabs(found[0].before - 100) < 1 && fabs(found[0].after - 94) < 1);
    assert_true(found[0].probability < 0.001);
}

static void test_several(void **state) {
    (void)state;
    static const size_t at[] = {30, 55, 80};
    double v[MOST], again[MOST];
    struct change found[MOST], second[MOST];
    uint64_t random = 11;
    for (size_t i = 0; i < 110; i++)
        v[i] = (i < at[0] ? 10.0 : i < at[1] ? 12.0 : i < at[2] ? 9.0 : 9.5) * (1 + 0.01 * noise(&random));
    memcpy(again, v, sizeof v);
    assert_int_equal(changes_find(v, 110, 0.01, found), 3);
    for (size_t i = 0; i < 3; i++) assert_in_range(found[i].at, at[i] - 1, at[i] + 1);
    // The same series has the same changes each time.
    assert_int_equal(changes_find(again, 110, 0.01, second), 3);
    for (size_t i = 0; i < 3; i++) assert_true(fabs(second[i].probability - found[i].probability) <= 0);
}

// Noise has a step with about the probability that was allowed, which most of these are.
static void test_noise(void **state) {
    (void)state;
    double v[MOST];
    struct change found[MOST];
    uint64_t random = 3;
    unsigned wrong = 0;
    for (int series = 0; series < 200; series++) {
        for (size_t i = 0; i < 30; i++) v[i] = 100 + noise(&random);
        wrong += changes_find(v, 30, 0.05, found) > 0;
    }
    assert_in_range(wrong, 2, 18);
}

static void test_little(void **state) {
    (void)state;
    struct change found[MOST];
    double same[MOST], few[] = {1, 1, 9, 9}, six[] = {1, 1, 1, 9, 9, 9}, one[] = {7};
    for (size_t i = 0; i < MOST; i++) same[i] = 5;
    assert_int_equal(changes_find(same, MOST, 0.05, found), 0);
    assert_int_equal(changes_find(few, 4, 0.05, found), 0);
    assert_int_equal(changes_find(one, 1, 0.05, found), 0);
    assert_int_equal(changes_find(one, 0, 0.05, found), 0);
    assert_int_equal(changes_find(six, 6, 0.05, found), 0); // 2 of 20 ways to draw three of six
    assert_int_equal(changes_find(six, 6, 0.2, found), 1);
    assert_int_equal(found[0].at, 3);
    assert_true(fabs(found[0].probability - 0.1) < 0.01);
}

static void test_names(void **state) {
    (void)state;
    assert_true(store_is_name("v1.2/before-the_change+1"));
    for (const char *const *bad = (const char *const[]){"", "best", "last", "a b", "\n", "\xc3\xa4", NULL}; *bad; bad++)
        assert_false(store_is_name(*bad));
    char longest[66] = "";
    memset(longest, 'a', 64);
    assert_true(store_is_name(longest));
    longest[64] = 'a';
    assert_false(store_is_name(longest));
}

static void test_machines(void **state) {
    (void)state;
    char a[STORE_MACHINE], b[STORE_MACHINE];
    json_t *context = json_pack("{s:s, s:i, s:i, s:i, s:s}", "cpu", "A CPU   ", "packages", 1, "cores", 4, "cpus", 8,
                                "microcode", "0x1");
    store_machine(context, a);
    assert_string_equal(a, "A CPU; packages 1, cores 4, CPUs 8");
    json_object_set_new(context, "microcode", json_string("0x2"));
    store_machine(context, b);
    assert_string_equal(a, b);
    json_object_set_new(context, "cores", json_integer(8));
    store_machine(context, b);
    assert_string_not_equal(a, b);
    json_decref(context);
    store_machine(NULL, b);
}

// ---- The store ----

// A run of this machine, with so many repetitions, each 1 % longer than the one before; more: further fields of the benchmark.
static const char *line_of(const char *name, double milliseconds, int repetitions, const char *more) {
    static char text[8192];
    int used =
        snprintf(text, sizeof text,
                 "{\"saved\": \"%s\", \"context\": {\"cpu\": \"A CPU\", \"flags\": \"-O3\"}, \"benchmarks\": [", name);
    for (int i = 0; i < repetitions; i++)
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "%s{\"name\": \"a\", \"time_unit\": \"ms\", \"real_time\": %.9g, \"placement\": \"here\"%s}",
                         i ? ", " : "", milliseconds * (1 + 0.01 * i), more);
    snprintf(text + used, sizeof text - (size_t)used, "]}");
    return text;
}

static json_t *file_of(double milliseconds, int repetitions) {
    const char *text = line_of("", milliseconds, repetitions, "");
    json_t *file = json_loads(text, 0, NULL);
    json_object_del(file, "saved");
    return file;
}

struct place {
    char folder[40], file[100];
};

static struct place make_place(void) {
    struct place p = {.folder = "/tmp/test_history.XXXXXX"};
    if (!mkdtemp(p.folder)) fail_msg("no folder");
    return p;
}

static void remove_place(struct place *p) {
    if (*p->file) unlink(p->file);
    rmdir(p->folder);
}

static bool add(struct place *p, const char *name, bool *dropped) {
    struct shk_error err = {0};
    json_t *file = file_of(2, 5);
    const bool ok = store_add(p->folder, file, name, dropped, &err);
    json_decref(file);
    if (!ok) fail_msg("%s", err.text);
    struct store s;
    assert_true(store_read(p->folder, &s, &err));
    snprintf(p->file, sizeof p->file, "%.*s", (int)(strchr(s.run[0].place, ',') - s.run[0].place), s.run[0].place);
    store_free(&s);
    return ok;
}

static void append(const struct place *p, const char *bytes, size_t size) {
    FILE *file = fopen(p->file, "ab");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void must_hold(const struct place *p, size_t runs, bool torn) {
    struct store s;
    struct shk_error err = {0};
    if (!store_read(p->folder, &s, &err)) fail_msg("%s", err.text);
    assert_int_equal(s.count, runs);
    assert_int_equal(*s.warning != 0, torn);
    store_free(&s);
}

// What a crash has left is no run, and gone when the next one is saved; a line that lacks nothing but its end, too.
static void test_torn(void **state) {
    (void)state;
    static const char zeros[9000];
    struct place p = make_place();
    bool dropped = true;
    add(&p, "one", &dropped);
    assert_false(dropped);
    const char *ends[] = {"{\"saved\": ", zeros, line_of("", 1, 5, "")};
    const size_t sizes[] = {10, sizeof zeros, strlen(ends[2])};
    for (size_t i = 0; i < 3; i++) {
        append(&p, i == 2 ? line_of("", 1, 5, "") : ends[i], sizes[i]);
        must_hold(&p, i + 1, true);
        add(&p, "", &dropped);
        assert_true(dropped);
        must_hold(&p, i + 2, false);
    }
    remove_place(&p);
}

static void test_at_once(void **state) {
    (void)state;
    enum { PROCESSES = 8, RUNS = 10 };
    struct place p = make_place();
    bool dropped;
    add(&p, "", &dropped);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0) continue;
        struct shk_error err;
        json_t *file = file_of(1, 60);
        for (int k = 0; k < RUNS; k++)
            if (!store_add(p.folder, file, "", &dropped, &err) || dropped) _exit(1);
        _exit(0);
    }
    for (int i = 0, status; i < PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    must_hold(&p, 1 + PROCESSES * RUNS, false);
    remove_place(&p);
}

// ---- Baselines ----

// A store of runs whose benchmark takes so long, each under the name of its number; the last has `more`.
static struct store store_of(const double *milliseconds, size_t n, int repetitions, const char *more) {
    struct store s = {.run = calloc(n, sizeof *s.run), .count = n};
    struct shk_error err = {0};
    for (size_t i = 0; i < n; i++) {
        char name[32], place[48];
        snprintf(name, sizeof name, "n%zu", i);
        snprintf(place, sizeof place, "store, line %zu", i + 1);
        const char *line = line_of(name, milliseconds[i], repetitions, i + 1 == n ? more : "");
        if (!store_read_line(line, strlen(line), place, &s.run[i], &err)) fail_msg("%s", err.text);
    }
    return s;
}

// What a fresh run of so many ms is against the store.
struct judged {
    struct baseline of;
    struct comparison is;
};

static struct judged judge(const struct store *s, const char *which, double milliseconds, int repetitions) {
    struct shk_error err = {0};
    struct measured fresh;
    struct shk_names notes = {0};
    struct judged b;
    size_t count;
    json_t *file = file_of(milliseconds, repetitions);
    assert_true(measured_from_json(file, "fresh", &fresh, &err));
    const struct baseline_request request = {which, "store", false};
    if (!baselines_choose(s, &fresh, &request, &b.of, &count, &notes, &err)) fail_msg("%s", err.text);
    assert_int_equal(count, 1);
    assert_int_equal(notes.count, 0);
    assert_true(baselines_judge(s, &fresh, 0.05, &b.of, 1, &b.is));
    measured_free(&fresh);
    json_decref(file);
    return b;
}

static void test_verdicts(void **state) {
    (void)state;
    const double quiet[] = {10, 10.1, 10, 10.05}, gusts[] = {10, 14, 10, 13};
    struct store s = store_of(quiet, 4, 6, ""), windy = store_of(gusts, 4, 6, "");
    struct judged b = judge(&s, "last", 12, 6);
    assert_int_equal(b.is.verdict, VERDICT_SLOWER);
    assert_int_equal(b.of.runs, 4);
    assert_true(fabs(expm1(b.is.shift.estimate) - 12 / 10.05 + 1) < 0.001 && b.is.noise > 0.01 && b.is.noise < 0.05);
    assert_int_equal(judge(&s, "last", 10, 6).is.verdict, VERDICT_NOT_SLOWER);
    assert_int_equal(judge(&s, "last", 12, 2).is.verdict, VERDICT_TOO_NOISY); // too few repetitions
    assert_ptr_equal(judge(&s, "n1", 10, 6).of.run, &s.run[1]);
    assert_ptr_equal(judge(&s, "best", 10, 6).of.run, &s.run[0]);
    // The stored runs themselves lie further apart.
    assert_int_equal(judge(&windy, "best", 12, 6).is.verdict, VERDICT_TOO_NOISY);
    store_free(&s);
    store_free(&windy);
}

static void refuse(const struct store *s, const char *which, bool anyway, const char *says) {
    struct shk_error err = {0};
    struct measured fresh;
    struct shk_names notes = {0};
    struct baseline b;
    size_t count;
    json_t *file = file_of(10, 6);
    assert_true(measured_from_json(file, "fresh", &fresh, &err));
    const struct baseline_request request = {which, "store", anyway};
    assert_int_equal(baselines_choose(s, &fresh, &request, &b, &count, &notes, &err), anyway);
    assert_string_equal(anyway ? notes.names[0] : err.text, says);
    assert_true(anyway || err.code == SHK_BAD_INPUT);
    shk_names_free(&notes);
    measured_free(&fresh);
    json_decref(file);
}

static void test_refusals(void **state) {
    (void)state;
    const double times[] = {10, 9};
    struct store s = store_of(times, 2, 6, ", \"threads\": 1");
    json_t *context = s.run[1].results.context;
    json_object_set_new(context, "flags", json_string("-O7"));
    refuse(&s, "last", false,
           "store, line 2, and this run cannot be compared, but with --anyway: flags differ: \"-O7\" and \"-O3\"");
    refuse(&s, "last", true, "store, line 2, and this run: flags differ: \"-O7\" and \"-O3\"");
    assert_ptr_equal(judge(&s, "best", 10, 6).of.run, &s.run[0]); // of those that can be compared
    json_object_set_new(context, "flags", json_string("-O3"));
    snprintf(s.run[1].results.benchmark[0].placement, 10, "there");
    refuse(
        &s, "n1", false,
        "store, line 2, and this run cannot be compared, but with --anyway: the threads' places (a) differ: \"there\" "
        "and \"here\"");
    refuse(&s, "n7", false,
           "store holds no run called 'n7' with one of these benchmarks: 'shikaku bench --save' makes one");
    store_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),     cmocka_unit_test(test_several), cmocka_unit_test(test_noise),
        cmocka_unit_test(test_little),   cmocka_unit_test(test_names),   cmocka_unit_test(test_machines),
        cmocka_unit_test(test_torn),     cmocka_unit_test(test_at_once), cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
