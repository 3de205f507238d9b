// SPDX-License-Identifier: MIT
// Products without the zeros of A on every ISA: the bits of the chain that the contract names, the values of a double
// reference, Adam at once as Adam afterwards, and nothing touched beside what is written.
#include "kernel_test.h"

struct setup {
    struct shk_sparse_gemm g;
    float *a, *b, *c; // whole buffers; what lies between rows is poison
    size_t c_size;
    char name[128];
};

// A matrix of random numbers; some of these are 0, one in `of`.
static float *matrix(size_t rows, size_t cols, ptrdiff_t stride, size_t of) {
    float *x = kt_floats_any((rows - 1) * (size_t)stride + cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            float *const at = x + i * (size_t)stride + j;
            *at = of && kt_below(of) == 0 ? kt_below(2) ? 0.0f : -0.0f : kt_uniform(-1, 1);
        }
    return x;
}

// of: one number of A in so many is 0; 0: none.
static void make(struct setup *s, size_t m, size_t n, size_t k, bool columns, bool accumulate, size_t of) {
    *s = (struct setup){.g = {.m = m, .n = n, .k = k, .accumulate = accumulate}};
    struct shk_sparse_gemm *g = &s->g;
    const ptrdiff_t stride = (ptrdiff_t)((columns ? m : k) + kt_below(5));
    g->a_row = columns ? 1 : stride;
    g->a_col = columns ? stride : 1;
    g->a = s->a = matrix(columns ? k : m, columns ? m : k, stride, of);
    g->b_row = (ptrdiff_t)(n + 16 * kt_below(3));
    g->b = s->b = matrix(k, n, g->b_row, 0);
    g->c_row = (ptrdiff_t)(n + 16 * kt_below(3));
    s->c_size = (m - 1) * (size_t)g->c_row + n;
    s->c = accumulate ? matrix(m, n, g->c_row, 0) : kt_floats(s->c_size);
    snprintf(s->name, sizeof s->name, "sparse gemm m %zu n %zu k %zu columns %d accumulate %d zeros 1/%zu", m, n, k,
             columns, accumulate, of);
}

static void destroy(struct setup *s) {
    kt_free(s->a);
    kt_free(s->b);
    kt_free(s->c);
}

static float a_at(const struct shk_sparse_gemm *g, size_t i, size_t k) {
    return g->a[(ptrdiff_t)i * g->a_row + (ptrdiff_t)k * g->a_col];
}

// The steps of k that row i takes, in the contract's order: in each block those that the pair's other row takes too come
// first. Returns how many.
static size_t steps_of(const struct shk_sparse_gemm *g, size_t i, size_t *steps) {
    size_t n = 0;
    for (size_t block = 0; block < g->k; block += SHK_SPARSE_DEPTH)
        for (int alone = 0; alone < 2; alone++)
            for (size_t k = block; k < g->k && k < block + SHK_SPARSE_DEPTH; k++) {
                const bool shared = (i ^ 1) < g->m && a_at(g, i ^ 1, k) != 0;
                if (a_at(g, i, k) != 0 && shared == !alone) steps[n++] = k;
            }
    return n;
}

// The chain of the contract, element by element; in double too, with the sum of magnitudes.
static void chain(const struct shk_sparse_gemm *g, float *c, double *want, double *magnitude) {
    size_t *steps = malloc(g->k * sizeof *steps);
    for (size_t i = 0; i < g->m; i++) {
        const size_t taken = steps_of(g, i, steps);
        for (size_t j = 0; j < g->n; j++) {
            float *const out = c + i * (size_t)g->c_row + j;
            float x = g->accumulate ? *out : 0;
            double sum = (double)x, size = fabs(sum) + 1e-30;
            for (size_t t = 0; t < taken; t++) {
                const float a = a_at(g, i, steps[t]), b = g->b[steps[t] * (size_t)g->b_row + j];
                x = fmaf(a, b, x);
                sum += (double)a * (double)b;
                size += fabs((double)a * (double)b);
            }
            *out = x;
            want[i * g->n + j] = sum;
            magnitude[i * g->n + j] = size;
        }
    }
    free(steps);
}

static void check(struct setup *s) {
    const size_t count = s->g.m * s->g.n;
    double *want = malloc(count * sizeof *want), *magnitude = malloc(count * sizeof *magnitude);
    float *got = malloc(count * sizeof *got), *const c_want = kt_copy(s->c, s->c_size);
    chain(&s->g, c_want, want, magnitude);
    KT_FOR_ISAS(kernels) {
        float *const c = kt_copy(s->c, s->c_size);
        struct shk_sparse_gemm g = s->g;
        g.c = c;
        kernels->sparse_gemm(&g);
        for (size_t i = 0; i < count; i++) got[i] = c[i / g.n * (size_t)g.c_row + i % g.n];
        kt_close(s->name, kernels->isa, got, want, magnitude, count, g.n, (double)(g.k + 1) * 0x1p-24);
        kt_same_bits(s->name, kernels->isa, c, c_want, s->c_size, (size_t)g.c_row);
        kt_free(c);
    }
    kt_free(c_want);
    free(got);
    free(magnitude);
    free(want);
}

static void run(size_t m, size_t n, size_t k, bool columns, bool accumulate, size_t of) {
    struct setup s;
    make(&s, m, n, k, columns, accumulate, of);
    check(&s);
    destroy(&s);
}

static void test_sizes(void **state) {
    (void)state;
    for (size_t m = 1; m <= 35; m++)
        for (size_t panels = 1; panels <= 10; panels++)
            run(m, 16 * panels, 1 + kt_below(140), kt_below(2), kt_below(2), kt_below(5));
    static const size_t depths[] = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        for (int columns = 0; columns < 2; columns++) run(20, 80, depths[i], columns, i % 2, 2);
    kt_report();
}

static void test_zeros(void **state) {
    (void)state;
    for (int columns = 0; columns < 2; columns++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            run(17, 64, 130, columns, accumulate, 1); // nothing but zeros
            run(17, 64, 130, columns, accumulate, 0);
        }
    kt_report();
}

// Where A is 0, what B holds does not matter; a NaN in A reaches its row and no other.
static void test_special_values(void **state) {
    (void)state;
    KT_FOR_ISAS(kernels) for (int columns = 0; columns < 2; columns++) {
        struct setup s;
        make(&s, 18, 80, 70, columns, false, 0);
        for (size_t i = 0; i < 18; i++) s.a[(ptrdiff_t)i * s.g.a_row + 66 * s.g.a_col] = 0;
        s.b[66 * s.g.b_row + 5] = INFINITY;
        s.a[7 * s.g.a_row + 3 * s.g.a_col] = NAN;
        s.g.c = s.c;
        kernels->sparse_gemm(&s.g);
        for (size_t i = 0; i < 18; i++)
            for (size_t j = 0; j < 80; j++) {
                const float c = s.c[i * (size_t)s.g.c_row + j];
                assert_true(i == 7 ? isnan(c) : isfinite(c));
            }
        destroy(&s);
    }
}

// ---- Adam at once ----

static struct shk_rule adam(float *w, float *m, float *v, bool *finite) {
    return (struct shk_rule){.kind = SHK_ADAM,
                             .adam = {.beta1 = 0.9f,
                                      .one_minus_beta1 = 0.1f,
                                      .beta2 = 0.999f,
                                      .one_minus_beta2 = 0.001f,
                                      .eps = 1e-8f,
                                      .step_size = 2e-3f,
                                      .inv_sqrt_bc2 = 3},
                             .scale = 0.5f,
                             .w = w,
                             .moments = {m, v},
                             .finite = finite};
}

// Weights and moments with the strides of C: the product, and then Adam row by row.
static void afterwards(const struct setup *s, const struct shk_rule *rule) {
    const struct shk_kernels *k = kt_reference();
    struct shk_sparse_gemm g = s->g;
    g.c = kt_copy(s->c, s->c_size);
    k->sparse_gemm(&g);
    for (size_t i = 0; i < g.m; i++) {
        const size_t at = i * (size_t)g.c_row;
        struct shk_rule row = *rule;
        row.w += at;
        row.moments[0] += at;
        row.moments[1] += at;
        k->apply_rule(
            &(struct shk_apply_rule){.n = g.n, .gradients = g.c + at, .sources = 1, .group = 1, .rule = &row});
    }
    kt_free(g.c);
}

static void check_update(struct setup *s, bool finite) {
    const size_t size = s->c_size;
    float *const start[3] = {kt_random(size, -1, 1), kt_random(size, -1, 1), kt_random(size, 0, 1)};
    float *const want[3] = {kt_copy(start[0], size), kt_copy(start[1], size), kt_copy(start[2], size)};
    bool fine = true;
    struct shk_rule rule = adam(want[0], want[1], want[2], &fine);
    afterwards(s, &rule);
    assert_int_equal(fine, finite);
    KT_FOR_ISAS(kernels) {
        float *const got[3] = {kt_copy(start[0], size), kt_copy(start[1], size), kt_copy(start[2], size)};
        struct shk_sparse_gemm g = s->g;
        g.c = kt_copy(s->c, size);
        fine = true;
        rule = adam(got[0], got[1], got[2], &fine);
        g.rule = &rule;
        kernels->sparse_gemm(&g);
        assert_int_equal(fine, finite);
        for (int i = 0; i < 3 && finite; i++)
            kt_same_bits(s->name, kernels->isa, got[i], want[i], size, (size_t)g.c_row);
        for (int i = 0; i < 3; i++) kt_free(got[i]);
        kt_free(g.c);
    }
    for (int i = 0; i < 3; i++) {
        kt_free(want[i]);
        kt_free(start[i]);
    }
}

static void test_adam(void **state) {
    (void)state;
    for (size_t m = 1; m <= 35; m++)
        for (size_t panels = 1; panels <= 6; panels++) {
            struct setup s;
            make(&s, m, 16 * panels, 1 + kt_below(200), kt_below(2), kt_below(2), 2);
            check_update(&s, true);
            destroy(&s);
        }
}

// A gradient that is not finite anywhere is reported.
static void test_adam_reports(void **state) {
    (void)state;
    for (size_t row = 0; row < 18; row++)
        for (int value = 0; value < 3; value++) {
            struct setup s;
            make(&s, 18, 80, 70, kt_below(2), false, 2);
            s.b[69 * s.g.b_row + (ptrdiff_t)kt_below(80)] = value == 0 ? NAN : value == 1 ? INFINITY : 1e30f;
            for (size_t i = 0; i < 18; i++) s.a[(ptrdiff_t)i * s.g.a_row + 69 * s.g.a_col] = i == row;
            check_update(&s, false);
            destroy(&s);
        }
}

KT_MAIN(cmocka_unit_test(test_sizes), cmocka_unit_test(test_zeros), cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_adam), cmocka_unit_test(test_adam_reports))
