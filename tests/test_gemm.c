// SPDX-License-Identifier: MIT
// GEMM on every ISA: the bits of the chain that the contract names, the values of a double reference, and nothing
// touched beside C.
#include "kernel_test.h"

enum a_layout { ROWS_OF_A, COLUMNS_OF_A, STRIDED_A, REVERSED_A, A_LAYOUTS };
enum b_layout { PANELS_OF_B, ROWS_OF_B, SPACED_B, B_LAYOUTS };
enum c_layout { ROWS_OF_C, PANELS_OF_C, SPACED_C, C_LAYOUTS };

struct setup {
    struct shk_gemm g;
    float *a, *b, *c, *bias, *factor, *row_factor, *addend,
        *sums; // whole buffers; elements that the product must not read are poison
    uint16_t *keep, *alive;
    size_t c_size;
    char name[128];
};

static void make_a(struct setup *s, enum a_layout layout) {
    struct shk_gemm *g = &s->g;
    const ptrdiff_t m = (ptrdiff_t)g->m, k = (ptrdiff_t)g->k, gap = (ptrdiff_t)kt_below(5);
    ptrdiff_t first = 0;
    switch (layout) {
    case ROWS_OF_A:
        g->a_row = k + gap, g->a_col = 1;
        break;
    case COLUMNS_OF_A:
        g->a_row = 1, g->a_col = m + gap;
        break;
    case STRIDED_A:
        g->a_row = 3, g->a_col = 3 * m + gap;
        break;
    default:
        g->a_row = -(k + gap), g->a_col = 1, first = (m - 1) * (k + gap);
        break;
    }
    const ptrdiff_t last_row = (m - 1) * g->a_row;
    s->a = kt_floats_any((size_t)((last_row > 0 ? last_row : -last_row) + (k - 1) * g->a_col + 1));
    g->a = s->a + first;
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t j = 0; j < k; j++) s->a[first + i * g->a_row + j * g->a_col] = kt_uniform(-1, 1);
}

// Strides of `rows` x `n` in rows, in panels, or in panels with something between.
static size_t strides(int layout, size_t rows, size_t n, ptrdiff_t *row, ptrdiff_t *panel) {
    const ptrdiff_t gap = 16 * (ptrdiff_t)kt_below(3);
    *row = layout == 0 ? 16 : layout == 1 ? (ptrdiff_t)n + gap : 48;
    *panel = layout == 0 ? 16 * (ptrdiff_t)rows + gap : layout == 1 ? 16 : 48 * (ptrdiff_t)rows + gap;
    return (rows - 1) * (size_t)*row + (n / 16 - 1) * (size_t)*panel + 16;
}

// Random [m][n], poison between the rows.
static float *rows_of(size_t m, size_t n, ptrdiff_t *row) {
    *row = (ptrdiff_t)(n + 16 * kt_below(3));
    float *x = kt_floats((m - 1) * (size_t)*row + n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) x[i * (size_t)*row + j] = kt_uniform(-1, 1);
    return x;
}

// Random values at the columns of a buffer laid out in strides.
static void fill_layout(float *x, size_t m, size_t n, ptrdiff_t row, ptrdiff_t panel) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) x[(ptrdiff_t)i * row + (ptrdiff_t)(j / 16) * panel + j % 16] = kt_uniform(-1, 1);
}

// None, C itself, or a matrix in one of C's layouts.
static void make_addend(struct setup *s, int kind) {
    struct shk_gemm *g = &s->g;
    if (kind == 0) return;
    if (kind == 1) {
        g->addend = s->c;
        g->addend_row = g->c_row;
        g->addend_panel = g->c_panel;
    } else {
        s->addend = kt_floats(strides(kind % 3, g->m, g->n, &g->addend_row, &g->addend_panel));
        g->addend = s->addend;
    }
    fill_layout(kind == 1 ? s->c : s->addend, g->m, g->n, g->addend_row, g->addend_panel);
}

static uint16_t *random_bits(size_t n) {
    uint16_t *bits = kt_bytes((n + 1) / 2 * 4);
    for (size_t i = 0; i < n; i++) bits[i] = (uint16_t)kt_next();
    return bits;
}

static uint16_t *copy_bits(const uint16_t *bits, size_t n) {
    uint16_t *copy = kt_bytes((n + 1) / 2 * 4);
    memcpy(copy, bits, n * sizeof *copy);
    return copy;
}

// What follows the sums: one of the ends that have tiles of their own, or any at random.
enum end {
    NO_END,
    FACTOR_END,
    ROW_FACTOR_END,
    OTHER_ADDEND_END,
    C_ADDEND_END,
    KEEP_END,
    KEEP_ADDEND_END,
    RELU_END, // with keep and alive
    ENDS,
    ANY_END = ENDS
};

static void make_end(struct setup *s, enum end end) {
    struct shk_gemm *g = &s->g;
    const size_t bits = g->m * (size_t)g->keep_row;
    if (end == FACTOR_END) s->factor = rows_of(g->m, g->n, &g->factor_row);
    if (end == ROW_FACTOR_END) kt_fill(s->row_factor = kt_floats_any(g->m), g->m, -1, 1);
    if (end == C_ADDEND_END) make_addend(s, 1);
    if (end == OTHER_ADDEND_END || end == KEEP_ADDEND_END) make_addend(s, 2 + (int)kt_below(3));
    if (end == KEEP_END || end == KEEP_ADDEND_END || end == RELU_END) g->keep = s->keep = random_bits(bits);
    if (end == RELU_END) g->relu = true, g->alive = s->alive = random_bits(bits);
}

static void make_any_end(struct setup *s) {
    if (!kt_below(3)) make_end(s, FACTOR_END);
    if (!kt_below(3)) make_end(s, ROW_FACTOR_END);
    make_addend(s, (int)kt_below(5));
    if (!kt_below(3)) make_end(s, KEEP_END);
    if (!kt_below(3)) s->g.alive = s->alive = random_bits(s->g.m * (size_t)s->g.keep_row);
}

static void make(struct setup *s, size_t m, size_t n, size_t k, int a_layout, int b_layout, int c_layout, int start,
                 enum end end) {
    *s = (struct setup){.g = {.m = m, .n = n, .k = k}};
    struct shk_gemm *g = &s->g;
    make_a(s, a_layout);
    s->b = kt_floats(strides(b_layout, k, n, &g->b_row, &g->b_panel));
    g->b = s->b;
    fill_layout(s->b, k, n, g->b_row, g->b_panel);
    s->c_size = strides((c_layout + 1) % 3, m, n, &g->c_row, &g->c_panel);
    s->c = kt_floats(s->c_size);
    g->accumulate = start % 3 == 1;
    g->relu = start >= 3;
    if (g->accumulate) fill_layout(s->c, m, n, g->c_row, g->c_panel);
    if (start % 3 == 2) g->bias = s->bias = kt_random(n, -1, 1);
    g->keep_row = (ptrdiff_t)(n / 16 + kt_below(3));
    g->scale = kt_uniform(1, 2);
    if (end == ANY_END)
        make_any_end(s);
    else
        make_end(s, end);
    if (!kt_below(3)) s->sums = kt_random(n, -1, 1);
    g->factor = s->factor;
    g->row_factor = s->row_factor;
    g->sums = s->sums;
    snprintf(s->name, sizeof s->name,
             "gemm m %zu n %zu k %zu a %d b %d c %d start %d relu %d keep %d factor %d %d addend %d sums %d", m, n, k,
             a_layout, b_layout, c_layout, start % 3, g->relu, s->keep != NULL, s->factor != NULL,
             s->row_factor != NULL, g->addend != NULL, g->sums != NULL);
}

static void destroy(struct setup *s) {
    kt_free(s->a);
    kt_free(s->b);
    kt_free(s->c);
    kt_free(s->bias);
    kt_free(s->keep);
    kt_free(s->alive);
    kt_free(s->factor);
    kt_free(s->row_factor);
    kt_free(s->addend);
    kt_free(s->sums);
}

static bool is_kept(const struct shk_gemm *g, size_t i, size_t j) {
    return g->keep[i * (size_t)g->keep_row + j / 16] >> j % 16 & 1;
}

static float factor_at(const struct shk_gemm *g, size_t i, size_t j) {
    return g->factor ? g->factor[i * (size_t)g->factor_row + j] : 1;
}

static float row_factor_at(const struct shk_gemm *g, size_t i) { return g->row_factor ? g->row_factor[i] : 1; }

static float addend_at(const struct shk_gemm *g, size_t i, size_t j) {
    return g->addend
               ? g->addend[(ptrdiff_t)i * g->addend_row + (ptrdiff_t)(j / 16) * g->addend_panel + (ptrdiff_t)(j % 16)]
               : 0;
}

// The product in double, and sum |a||b| with the start.
static void reference(const struct setup *s, double *want, double *magnitude) {
    const struct shk_gemm *g = &s->g;
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            double sum = g->accumulate ? (double)s->c[i * g->c_row + j / 16 * g->c_panel + j % 16]
                         : g->bias     ? (double)g->bias[j]
                                       : 0;
            double size = fabs(sum) + 1e-30;
            for (size_t l = 0; l < g->k; l++) {
                const double product = (double)g->a[(ptrdiff_t)i * g->a_row + (ptrdiff_t)l * g->a_col] *
                                       (double)g->b[l * g->b_row + j / 16 * g->b_panel + j % 16];
                sum += product;
                size += fabs(product);
            }
            const double factor = (double)factor_at(g, i, j) * (double)row_factor_at(g, i),
                         addend = (double)addend_at(g, i, j);
            const double kept = g->keep ? is_kept(g, i, j) * (double)g->scale : 1;
            want[i * g->n + j] = (g->relu && sum < 0 ? 0 : sum) * kept * factor + addend;
            magnitude[i * g->n + j] = size * fabs(kept * factor) + fabs(addend);
        }
}

static void gather(const struct shk_gemm *g, const float *c, float *out) {
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) out[i * g->n + j] = c[i * g->c_row + j / 16 * g->c_panel + j % 16];
}

// What lies between the elements of C is still poison.
static void check_gaps(const struct setup *s, const float *c) {
    size_t poison = 0;
    for (size_t i = 0; i < s->c_size; i++) poison += kt_bits(c[i]) == KT_POISON;
    assert_int_equal(poison, s->c_size - s->g.m * s->g.n);
}

static void set_bit(uint16_t *bits, size_t bit, bool value) {
    *bits = (uint16_t)(value ? *bits | 1u << bit : *bits & ~(1u << bit));
}

// The chain of the contract, element by element; alive: [m][keep_row].
static void chain(const struct shk_gemm *g, float *c, uint16_t *alive) {
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            float *const out = c + i * g->c_row + j / 16 * g->c_panel + j % 16;
            float x = g->accumulate ? *out : g->bias ? g->bias[j] : 0;
            for (size_t l = 0; l < g->k; l++)
                x = fmaf(g->a[(ptrdiff_t)i * g->a_row + (ptrdiff_t)l * g->a_col],
                         g->b[l * g->b_row + j / 16 * g->b_panel + j % 16], x);
            if (g->relu && x < 0) x = 0;
            if (g->keep) x = is_kept(g, i, j) ? x * g->scale : 0;
            if (alive) set_bit(&alive[i * (size_t)g->keep_row + j / 16], j % 16, x > 0);
            if (g->factor) x *= factor_at(g, i, j);
            if (g->row_factor) x *= row_factor_at(g, i);
            *out = g->addend ? addend_at(g, i, j) + x : x;
        }
}

// B's columns added up from sums on, one after the other.
static void add_columns(const struct shk_gemm *g, float *sums) {
    for (size_t l = 0; l < g->k; l++)
        for (size_t j = 0; j < g->n; j++) sums[j] += g->b[l * g->b_row + j / 16 * g->b_panel + j % 16];
}

static void check(struct setup *s) {
    const size_t count = s->g.m * s->g.n;
    double *want = malloc(count * sizeof *want), *magnitude = malloc(count * sizeof *magnitude);
    float *got = malloc(count * sizeof *got);
    reference(s, want, magnitude);
    float *const c_want = kt_copy(s->c, s->c_size);
    const size_t bits = s->g.m * (size_t)s->g.keep_row;
    uint16_t *const alive = s->alive ? copy_bits(s->alive, bits) : NULL;
    chain(&s->g, c_want, alive);
    float *const sums = s->sums ? kt_copy(s->sums, s->g.n) : NULL;
    if (sums) add_columns(&s->g, sums);
    check_gaps(s, c_want);
    struct shk_gemm g = s->g;
    KT_FOR_ISAS(kernels) {
        float *const c = kt_copy(s->c, s->c_size);
        g.c = c;
        if (s->g.addend == s->c) g.addend = c;
        g.alive = alive ? copy_bits(s->alive, bits) : NULL;
        g.sums = sums ? kt_copy(s->sums, g.n) : NULL;
        kernels->gemm(&g);
        if (sums) kt_same_bits(s->name, kernels->isa, g.sums, sums, g.n, g.n);
        kt_free(g.sums);
        if (alive) assert_memory_equal(g.alive, alive, bits * sizeof *alive);
        kt_free(g.alive);
        gather(&g, c, got);
        const size_t roundings =
            g.k + 1 + (g.keep != NULL) + (g.factor != NULL) + (g.row_factor != NULL) + (g.addend != NULL);
        kt_close(s->name, kernels->isa, got, want, magnitude, count, g.n, (double)roundings * 0x1p-24);
        kt_same_bits(s->name, kernels->isa, c, c_want, s->c_size, (size_t)(g.c_row > g.c_panel ? g.c_row : g.c_panel));
        kt_free(c);
    }
    kt_free(alive);
    kt_free(sums);
    kt_free(c_want);
    free(got);
    free(magnitude);
    free(want);
}

static void run_end(size_t m, size_t n, size_t k, int a, int b, int c, int start, enum end end) {
    struct setup s;
    make(&s, m, n, k, a, b, c, start, end);
    check(&s);
    destroy(&s);
}

static void run(size_t m, size_t n, size_t k, int a, int b, int c, int start) {
    run_end(m, n, k, a, b, c, start, ANY_END);
}

static void random_layout(size_t m, size_t n, size_t k) {
    const int a = (int)kt_below(A_LAYOUTS), b = (int)kt_below(B_LAYOUTS), c = (int)kt_below(C_LAYOUTS);
    run(m, n, k, a, b, c, (int)kt_below(6));
}

static void test_remainders(void **state) {
    (void)state;
    for (size_t m = 1; m <= 40; m++)
        for (size_t panels = 1; panels <= 10; panels++) random_layout(m, 16 * panels, 1 + kt_below(20));
    kt_report();
}

static void test_layouts(void **state) {
    (void)state;
    for (int a = 0; a < A_LAYOUTS; a++)
        for (int b = 0; b < B_LAYOUTS; b++)
            for (int c = 0; c < C_LAYOUTS; c++)
                for (int start = 0; start < 6; start++) {
                    const size_t m = 1 + kt_below(30), n = 16 + 16 * kt_below(5);
                    run(m, n, 1 + kt_below(40), a, b, c, start);
                }
    kt_report();
}

static void test_model_sizes(void **state) {
    (void)state;
    static const size_t sizes[][3] = {{65, 64, 64},   {65, 192, 64},  {65, 256, 64},  {65, 64, 256},   {260, 64, 64},
                                      {64, 64, 65},   {64, 256, 260}, {256, 64, 65},  {16, 128, 2048}, {9, 2048, 128},
                                      {2048, 32, 16}, {1, 2048, 128}, {1, 128, 2048}, {65, 80, 16},    {65, 16, 65},
                                      {197, 32, 197}, {197, 208, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) random_layout(sizes[i][0], sizes[i][1], sizes[i][2]);
    kt_report();
}

// Sums so long that columns of A go in pieces, with all that may follow the last.
static void test_long_sums(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) run(20 + kt_below(20), 32, 400 + kt_below(100), COLUMNS_OF_A, ROWS_OF_B, i % 3, i % 6);
    kt_report();
}

// Each end alone, in tiles of every height and sums of few steps.
static void test_ends(void **state) {
    (void)state;
    for (int end = NO_END; end < ENDS; end++)
        for (size_t m = 1; m <= 28; m++)
            for (int a = 0; a < A_LAYOUTS; a++) {
                const int b = (int)kt_below(B_LAYOUTS), c = (int)kt_below(C_LAYOUTS);
                run_end(m, 16 + 16 * kt_below(4), 1 + kt_below(9), a, b, c, (int)kt_below(3), (enum end)end);
            }
    kt_report();
}

// One NaN in A reaches its row, through relu too, and no other.
static void test_special_values(void **state) {
    (void)state;
    for (size_t m = 1; m <= 16; m++) KT_FOR_ISAS(kernels) {
            for (int relu = 0; relu < 2; relu++) {
                struct setup s;
                make(&s, m, 48, 5, ROWS_OF_A, PANELS_OF_B, ROWS_OF_C, 3 * relu, NO_END);
                const size_t row = kt_below(m);
                s.a[row * (size_t)s.g.a_row + kt_below(5)] = NAN;
                s.g.c = s.c;
                s.g.sums = NULL;
                kernels->gemm(&s.g);
                for (size_t i = 0; i < m; i++)
                    for (size_t j = 0; j < 48; j++) {
                        const float c = s.c[i * s.g.c_row + j / 16 * s.g.c_panel + j % 16];
                        if (i != row)
                            assert_true(isfinite(c) && (!relu || c >= 0));
                        else
                            assert_true(isnan(c));
                    }
                destroy(&s);
            }
        }
}

KT_MAIN(cmocka_unit_test(test_remainders), cmocka_unit_test(test_layouts), cmocka_unit_test(test_model_sizes),
        cmocka_unit_test(test_long_sums), cmocka_unit_test(test_ends), cmocka_unit_test(test_special_values))
