// SPDX-License-Identifier: MIT
// Every kernel has a benchmark, which computes the same each time and on any instruction set; and says how long a call takes.
#include "training.h"

#include <shikaku/bench.h>

static void test_cases(void **state) {
    (void)state;
    const size_t count = shk_kernel_bench_count();
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        struct shk_kernel_facts a, b;
        assert_true(shk_kernel_bench_facts(i, &a));
        if (!(a.flops > 0) && !(a.bytes > 0)) fail_msg("%s/%s counts nothing", a.kernel, a.shape);
        for (size_t j = 0; j < i; j++) {
            assert_true(shk_kernel_bench_facts(j, &b));
            if (!strcmp(a.kernel, b.kernel) && !strcmp(a.shape, b.shape))
                fail_msg("%s/%s is there twice", a.kernel, a.shape);
        }
    }
    struct shk_kernel_facts none;
    assert_false(shk_kernel_bench_facts(count, &none));
}

static bool has_case(const char *kernel) {
    struct shk_kernel_facts facts;
    for (size_t i = 0; shk_kernel_bench_facts(i, &facts); i++)
        if (!strcmp(facts.kernel, kernel)) return true;
    return false;
}

static void test_all_kernels(void **state) {
    (void)state;
#define KERNEL(name, type)                                                                                             \
    if (strcmp(#name, "fma_peak") != 0 && !has_case(#name)) fail_msg("no benchmark of %s", #name);
#include <kernels.def> // fma_peak is a measurement itself
#undef KERNEL
}

static struct shk_kernel_bench *open_on(size_t index, const struct shk_runtime *r) {
    struct shk_error err;
    struct shk_kernel_bench *b = shk_kernel_bench_create(index, r, &err);
    if (!b) fail_msg("%s", err.text);
    return b;
}

// The hash of each, after some more steps than there must be.
static void hash_all(const char *isa, uint64_t *hash) {
    struct shk_error err;
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.isa = isa, .threads = 2}, &err);
    if (!r) fail_msg("%s", err.text);
    for (size_t i = 0; i < shk_kernel_bench_count(); i++) {
        struct shk_bench_step step;
        struct shk_kernel_bench *b = open_on(i, r);
        assert_int_equal(shk_kernel_bench_run(b, &(struct shk_bench_limits){1, 1, 0}, &step), 1);
        hash[i] = shk_kernel_bench_hash(b);
        shk_kernel_bench_free(b);
    }
    shk_runtime_free(r);
}

static const char *name_of(size_t index) {
    static char name[2][100];
    static unsigned next;
    struct shk_kernel_facts f;
    char *text = name[next++ % 2];
    assert_true(shk_kernel_bench_facts(index, &f));
    snprintf(text, sizeof name[0], "%s/%s", f.kernel, f.shape);
    return text;
}

// Kernels that write something else; some shapes of one are there under two names.
static void check_outputs(const uint64_t *hash, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            struct shk_kernel_facts a, b;
            assert_true(shk_kernel_bench_facts(i, &a) && shk_kernel_bench_facts(j, &b));
            if (strcmp(a.kernel, b.kernel) != 0 && hash[i] == hash[j])
                fail_msg("%s has written what %s has: no output?", name_of(i), name_of(j));
        }
    }
}

static void test_same_bits(void **state) {
    (void)state;
    const size_t count = shk_kernel_bench_count();
    uint64_t *first = calloc(count, sizeof *first), *again = calloc(count, sizeof *again);
    assert_true(first && again);
    hash_all("c", first);
    check_outputs(first, count);
    for (size_t isa = 0; shk_isa_at(isa); isa++) {
        hash_all(shk_isa_at(isa), again);
        for (size_t i = 0; i < count; i++)
            if (first[i] != again[i]) fail_msg("%s computes something else on %s", name_of(i), shk_isa_at(isa));
    }
    free(first);
    free(again);
}

static void test_steps(void **state) {
    (void)state;
    enum { MOST = 40 };
    struct shk_error err = {0};
    struct shk_bench_step out[MOST] = {{0}};
    struct shk_runtime *r = shk_runtime_create(&(struct shk_runtime_options){.threads = 1}, &err);
    struct shk_kernel_bench *b = open_on(0, r);
    assert_int_equal(shk_kernel_bench_run(b, &(struct shk_bench_limits){20, MOST, 0}, out), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(out[i].seconds > 0 && out[i].cpu_seconds > 0 && out[i].peak > 1e6);
        assert_int_equal(out[i].samples, shk_kernel_bench_calls(b));
    }
    assert_true(out[0].peak == out[15].peak && out[16].peak == out[19].peak); // one burst for 16 steps
    // Time that is over ends it, and so does the greatest number of steps.
    assert_int_equal(shk_kernel_bench_run(b, &(struct shk_bench_limits){3, MOST, 0}, out), 3);
    assert_int_equal(shk_kernel_bench_run(b, &(struct shk_bench_limits){1, 9, 1000}, out), 9);
    shk_kernel_bench_free(b);
    assert_null(shk_kernel_bench_create(shk_kernel_bench_count(), r, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    shk_runtime_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_all_kernels),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
