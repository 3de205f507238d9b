// SPDX-License-Identifier: MIT
// Files of results: ours and Google Benchmark's are read alike, and lies in them are refused in a sentence.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/measured.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool take(const char *text, struct measured *m, struct shk_error *err) {
    *err = (struct shk_error){0};
    return measured_from_text(text, strlen(text), "r.json", m, err);
}

// A file with these benchmarks.
static bool take_benchmarks(const char *benchmarks, struct measured *m, struct shk_error *err) {
    char text[4096];
    snprintf(text, sizeof text, "{\"context\": {\"cpu\": \"x\"}, \"benchmarks\": [%s]}", benchmarks);
    return take(text, m, err);
}

static void near(double a, double b) {
    if (!(fabs(a / b - 1) < 1e-12)) fail_msg("%.17g, not %.17g", a, b);
}

#define OURS(name, threads, rate, cpu, hash)                                                                           \
    "{\"name\": \"" name "\", \"threads\": " #threads                                                                  \
    ", \"real_time\": 6.0, \"cpu_time\": 5.0, \"time_unit\": \"ms\", "                                                 \
    "\"items_per_second\": " #rate ", \"cpu_samples_per_second\": " #cpu ", \"run_type\": \"iteration\", "             \
    "\"hash\": \"" hash "\", \"hashed_steps\": 5, \"placement\": \"here\"}"

static void test_ours(void **state) {
    (void)state;
    struct measured m;
    struct shk_error err;
    assert_true(take_benchmarks(OURS("train/a/batch:64/threads:1/c", 1, 10000, 12800, "00000000000000ff") ", " OURS(
                                    "train/a/batch:64/threads:2/c", 2, 20000, 12800,
                                    "00000000000000ff") ", " OURS("train/a/batch:64/threads:1/c", 1, 8000, 6400,
                                                                  "00000000000000ff") ", "
                                                                                      "{\"name\": \"train/a_median\", "
                                                                                      "\"run_type\": \"aggregate\"}",
                                &m, &err));
    assert_int_equal(m.count, 2);
    assert_string_equal(m.warning, "");
    assert_string_equal(json_string_value(json_object_get(m.context, "cpu")), "x");
    const struct measured_benchmark *one = measured_find(&m, "train/a/batch:64/threads:1/c"), *two = &m.benchmark[1];
    assert_ptr_equal(one, &m.benchmark[0]);
    assert_null(measured_find(&m, "train/a_median"));
    assert_int_equal(one->count, 2);
    assert_true(one->by_cpu && !two->by_cpu && one->hashed);
    assert_int_equal(one->hash, 0xff);
    assert_int_equal(one->hashed_steps, 5);
    assert_int_equal(one->samples, 64);
    assert_int_equal(two->threads, 2);
    assert_string_equal(one->placement, "here");
    near(one->seconds[0], 64 / 10000.0);
    near(one->cpu_seconds[0], 64 / 12800.0);
    near(one->seconds[1], 64 / 8000.0);
    assert_ptr_equal(measured_times(one, true), one->cpu_seconds);
    assert_ptr_equal(measured_times(one, false), one->seconds);
    assert_ptr_equal(measured_times(two, true), two->seconds);
    measured_free(&m);
}

// bench_train counts an iteration for all steps, and one thread.
static void test_google(void **state) {
    (void)state;
    struct measured m;
    struct shk_error err;
    assert_true(take_benchmarks(
        "{\"name\": \"gemm/64\", \"run_type\": \"iteration\", \"real_time\": 250, \"cpu_time\": 240.0, \"time_unit\": "
        "\"ns\", \"threads\": 1},"
        "{\"name\": \"gemm/64\", \"real_time\": 2.5e2, \"time_unit\": \"us\"},"
        "{\"name\": \"s\", \"real_time\": 3, \"cpu_time\": 2, \"time_unit\": \"s\", \"threads\": 4},"
        "{\"name\": \"train/x/avx2/threads:1/iterations:1/manual_time\", \"threads\": 1, \"real_time\": 100, "
        "\"cpu_time\": 90, \"time_unit\": \"ms\","
        " \"items_per_second\": 3000, \"median_samples_per_second\": 4000, \"cpu_samples_per_second\": 5000},"
        "{\"name\": \"train/x/avx2/threads:2/iterations:1/manual_time\", \"threads\": 1, \"real_time\": 100, "
        "\"cpu_time\": 90, \"time_unit\": \"ms\","
        " \"items_per_second\": 3000, \"median_samples_per_second\": 8000}",
        &m, &err));
    assert_int_equal(m.count, 4);
    near(m.benchmark[0].seconds[0], 250e-9);
    near(m.benchmark[0].seconds[1], 250e-6);
    assert_false(m.benchmark[0].by_cpu); // not both have it
    assert_false(m.benchmark[0].hashed);
    near(m.benchmark[1].seconds[0], 3);
    assert_int_equal(m.benchmark[1].threads, 4);
    assert_false(m.benchmark[1].by_cpu);
    near(m.benchmark[2].seconds[0], 1 / 4000.0);
    near(m.benchmark[2].cpu_seconds[0], 1 / 5000.0);
    assert_true(m.benchmark[2].by_cpu);
    assert_int_equal(m.benchmark[3].threads, 2);
    assert_false(m.benchmark[3].by_cpu);
    measured_free(&m);
}

static void test_left_out(void **state) {
    (void)state;
    struct measured m;
    struct shk_error err;
    const char *some =
        "{\"name\": \"a\", \"run_type\": \"iteration\", \"error_occurred\": true, \"error_message\": \"no room\"},"
        "{\"name\": \"b\", \"skipped\": true}, {\"name\": \"c\", \"real_time\": 1, \"time_unit\": \"ms\"}";
    assert_true(take_benchmarks(some, &m, &err));
    assert_int_equal(m.count, 1);
    assert_string_equal(m.warning,
                        "r.json: a is left out: it has no time, but says: no room; 1 more are left out like it");
    measured_free(&m);
}

static void refused(const char *benchmarks, const char *sentence) {
    struct measured m;
    struct shk_error err;
    if (take_benchmarks(benchmarks, &m, &err)) fail_msg("taken: %s", benchmarks);
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_string_equal(err.text, sentence);
    assert_null(m.context);
    assert_null(m.benchmark);
}

#define ENTRY(more) "{\"name\": \"a\", \"real_time\": 1, \"time_unit\": \"ms\"" more "}"

static void test_lies(void **state) {
    (void)state;
    refused("", "r.json has no benchmark with a time");
    refused("{\"name\": \"a_mean\", \"run_type\": \"aggregate\"}",
            "r.json has no benchmark with a time, only aggregates: write it without "
            "--benchmark_report_aggregates_only");
    refused("7", "r.json: benchmark 1: it is no object");
    refused("{}", "r.json: benchmark 1: name must be a text of 1 to 255 bytes");
    refused("{\"name\": \"\"}", "r.json: benchmark 1: name must be a text of 1 to 255 bytes");
    refused("{\"name\": \"a\", \"run_type\": 3}", "r.json: benchmark 1 (a): run_type must be iteration or aggregate");
    refused("{\"name\": \"a\", \"real_time\": 1}", "r.json: benchmark 1 (a): time_unit must be ns, us, ms or s");
    refused("{\"name\": \"a\", \"real_time\": 1, \"time_unit\": \"min\"}",
            "r.json: benchmark 1 (a): time_unit must be ns, us, ms or s");
    for (const char *const *time = (const char *const[]){"0", "-1", "\"1\"", "null", "[1]", NULL}; *time; time++) {
        char entry[200];
        snprintf(entry, sizeof entry, "{\"name\": \"a\", \"real_time\": %s, \"time_unit\": \"ms\"}", *time);
        refused(entry, "r.json: benchmark 1 (a): real_time must be a number above 0");
    }
    refused("{\"name\": \"a\", \"real_time\": 5e-324, \"time_unit\": \"ns\"}",
            "r.json: benchmark 1 (a): real_time must be a number above 0");
    refused(ENTRY(", \"median_samples_per_second\": 1e-320"),
            "r.json: benchmark 1 (a): its time cannot be told in seconds");
    refused(ENTRY(", \"threads\": 0"), "r.json: benchmark 1 (a): threads must be a whole number from 1 on");
    refused(ENTRY(", \"threads\": 1.5"), "r.json: benchmark 1 (a): threads must be a whole number from 1 on");
    refused(ENTRY(", \"hash\": \"12\""), "r.json: benchmark 1 (a): hash must be 16 hexadecimal digits");
    refused(ENTRY(", \"hash\": \"0123456789abcdeg\""), "r.json: benchmark 1 (a): hash must be 16 hexadecimal digits");
    refused(ENTRY(", \"hash\": \"0123456789abcdef\""),
            "r.json: benchmark 1 (a): hashed_steps must say after how many steps the hash was taken");
    refused(ENTRY(", \"placement\": 1"), "r.json: benchmark 1 (a): placement must be a text of less than 400 bytes");
    refused(ENTRY("") ", " ENTRY(", \"hash\": \"0123456789abcdef\", \"hashed_steps\": 5"),
            "r.json: benchmark 2 (a): its repetitions differ in hash, threads, placement or batch");
}

static void test_many(void **state) {
    (void)state;
    enum { SIZE = 1 << 16 };
    static char text[SIZE];
    struct measured m;
    struct shk_error err;
    for (size_t count = 200; count <= 201; count++) {
        size_t used = (size_t)snprintf(text, SIZE, "{\"context\": {}, \"benchmarks\": [" ENTRY(""));
        for (size_t i = 1; i < count; i++) used += (size_t)snprintf(text + used, SIZE - used, ", " ENTRY(""));
        snprintf(text + used, SIZE - used, "]}");
        assert_int_equal(take(text, &m, &err), count == 200);
        if (count == 200) assert_int_equal(m.benchmark[0].count, 200);
        measured_free(&m);
    }
    assert_string_equal(err.text, "r.json: benchmark 201 (a): it has more than 200 repetitions");
}

static void test_files(void **state) {
    (void)state;
    struct measured m;
    struct shk_error err;
    assert_false(take("", &m, &err));
    assert_string_equal(err.text, "r.json, line 1: no JSON: '[' or '{' expected near end of file");
    assert_false(take("{\n\"context\": {},\n nothing}", &m, &err));
    assert_non_null(strstr(err.text, "r.json, line 3: no JSON: "));
    assert_false(take("{\"context\": {}, \"context\": {}, \"benchmarks\": []}", &m, &err));
    assert_false(take("[]", &m, &err));
    assert_non_null(strstr(err.text, "r.json holds no results of benchmarks: it must be an object with \"context\""));
    assert_false(take("{\"context\": [], \"benchmarks\": []}", &m, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_false(measured_read("/nowhere/r.json", &m, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_false(measured_read("/", &m, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_false(measured_read("/dev/null", &m, &err)); // no regular file
    char path[] = "/tmp/test_measured.XXXXXX";
    const int file = mkstemp(path);
    assert_false(measured_read(path, &m, &err)); // an empty one
    assert_int_equal(err.code, SHK_BAD_INPUT);
    static const char text[] = "{\"context\": {}, \"benchmarks\": [" ENTRY("") "]}";
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    assert_true(measured_read(path, &m, &err));
    measured_free(&m);
    assert_int_equal(ftruncate(file, (off_t)(64 << 20) + 1), 0);
    assert_false(measured_read(path, &m, &err));
    assert_non_null(strstr(err.text, " is larger than 64 MiB"));
    close(file);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours), cmocka_unit_test(test_google), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_lies), cmocka_unit_test(test_many),   cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
