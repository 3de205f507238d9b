// SPDX-License-Identifier: MIT
// Attention on every ISA: the bits of the C kernels, the values and gradients of a double reference (itself held
// against central differences), dropout by the counter-based draws, and nothing touched beside the results.
#include "kernel_test.h"

#include <Random123/philox.h>

// Everything in double, contiguous: [rows][d] and [queries][tokens].
struct reference {
    size_t queries, tokens, d;
    double scale, drop_scale;
    double tolerance; // for all results, as a share of the sums of magnitudes
    bool saturated;   // each query has one token alone, and so its scores have no gradients
    double *q, *k, *v, *dout;
    unsigned char *dropped;
    double *p, *out, *dq, *dk, *dv;
    double *out_size, *dq_size, *dk_size, *dv_size; // sums of magnitudes
};

// The size of a score's gradient where there is none: 6e-8, a rounding error of h, would be far too much.
#define NO_GRADIENT 1e-12

static double *doubles(size_t n) { return calloc(n, sizeof(double)); }

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double dot_size(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs(a[i] * b[i]);
    return sum;
}

static double dropped_weight(const struct reference *r, size_t at) {
    return r->dropped[at] ? 0 : r->p[at] * r->drop_scale;
}

static void reference_forward(struct reference *r) {
    for (size_t i = 0; i < r->queries; i++) {
        double *p = r->p + i * r->tokens, most = -INFINITY, sum = 0;
        for (size_t j = 0; j < r->tokens; j++) {
            p[j] = dot(r->q + i * r->d, r->k + j * r->d, r->d) * r->scale;
            if (p[j] > most) most = p[j];
        }
        for (size_t j = 0; j < r->tokens; j++) sum += p[j] = fmax(exp(p[j] - most), 0x1p-64); // as the contract says
        for (size_t j = 0; j < r->tokens; j++) p[j] /= sum;
        for (size_t c = 0; c < r->d; c++) {
            double x = 0, size = 1e-30;
            for (size_t j = 0; j < r->tokens; j++) {
                const double term = dropped_weight(r, i * r->tokens + j) * r->v[j * r->d + c];
                x += term;
                size += fabs(term);
            }
            r->out[i * r->d + c] = x;
            r->out_size[i * r->d + c] = size;
        }
    }
}

static void add_scaled(double *to, double *size, const double *x, double by, double by_size, size_t n) {
    for (size_t c = 0; c < n; c++) {
        to[c] += by * x[c];
        size[c] += by_size * fabs(x[c]);
    }
}

static void reference_backward(struct reference *r) {
    const size_t d = r->d;
    double *dpd = doubles(r->tokens), *dpd_size = doubles(r->tokens);
    for (size_t i = 0; i < r->queries; i++) {
        double delta = 0, delta_size = 0;
        for (size_t j = 0; j < r->tokens; j++) {
            const double pd = dropped_weight(r, i * r->tokens + j);
            dpd[j] = dot(r->dout + i * d, r->v + j * d, d);
            dpd_size[j] = dot_size(r->dout + i * d, r->v + j * d, d);
            delta += pd * dpd[j];
            delta_size += pd * dpd_size[j];
            add_scaled(r->dv + j * d, r->dv_size + j * d, r->dout + i * d, pd, pd, d);
        }
        for (size_t j = 0; j < r->tokens; j++) {
            const double p = r->p[i * r->tokens + j], pd = dropped_weight(r, i * r->tokens + j);
            const double ds = (pd * dpd[j] - p * delta) * r->scale,
                         size = r->saturated ? NO_GRADIENT : (pd * dpd_size[j] + p * delta_size) * fabs(r->scale);
            add_scaled(r->dq + i * d, r->dq_size + i * d, r->k + j * d, ds, size, d);
            add_scaled(r->dk + j * d, r->dk_size + j * d, r->q + i * d, ds, size, d);
        }
    }
    free(dpd);
    free(dpd_size);
}

static void reference_destroy(struct reference *r) {
    double *all[] = {r->q,  r->k,  r->v,        r->dout,    r->p,       r->out,    r->dq,
                     r->dk, r->dv, r->out_size, r->dq_size, r->dk_size, r->dv_size};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r->dropped);
}

// Whether an element falls to dropout, from Random123's own Philox.
static unsigned char is_dropped(const struct shk_dropout_spec *drop, uint32_t element) {
    const uint32_t block = element / 128, pair = element / 16 % 8, lane = element % 16;
    const philox4x32_ctr_t counter = {
        {16 * block + lane, drop->stream.stream[0], drop->stream.stream[1], drop->stream.stream[2]}};
    const philox4x32_key_t key = {{drop->stream.key[0], drop->stream.key[1]}};
    const philox4x32_ctr_t words = philox4x32_R(7, counter, key);
    return (words.v[pair / 2] >> (16 * (pair % 2)) & 0xffff) < drop->threshold;
}

// A head inside larger rows; what lies between its rows is poison.
struct matrix {
    float *data;
    size_t rows, d, ld;
};

static struct matrix matrix(size_t rows, size_t d, size_t ld, double *values, float range) {
    const struct matrix m = {kt_floats((rows - 1) * ld + d), rows, d, ld};
    for (size_t i = 0; values && i < rows; i++)
        for (size_t c = 0; c < d; c++) values[i * d + c] = (double)(m.data[i * ld + c] = kt_uniform(-range, range));
    return m;
}

static size_t matrix_size(const struct matrix *m) { return (m->rows - 1) * m->ld + m->d; }

// Finite inside, poison between the rows, near the reference; the same bits as `same`, unless NULL.
static void check_matrix(const char *what, const char *isa, const struct matrix *m, const double *want,
                         const double *size, double tolerance, const struct matrix *same) {
    float *got = malloc(m->rows * m->d * sizeof *got);
    for (size_t i = 0; i < m->rows; i++) {
        memcpy(got + i * m->d, m->data + i * m->ld, m->d * sizeof *got);
        for (size_t c = m->d; c < m->ld && i + 1 < m->rows; c++)
            assert_int_equal(kt_bits(m->data[i * m->ld + c]), KT_POISON);
    }
    kt_close(what, isa, got, want, size, m->rows * m->d, m->d, tolerance);
    if (same) kt_same_bits(what, isa, m->data, same->data, matrix_size(m), m->ld);
    free(got);
}

// Where the weight of a query and a token lies, and the columns of its block.
static size_t weight_place(size_t queries, size_t tokens, size_t query, size_t token) {
    const size_t first = query / SHK_ATTENTION_BLOCK * SHK_ATTENTION_BLOCK, left = queries - first;
    const size_t columns = shk_round16(left < SHK_ATTENTION_BLOCK ? left : SHK_ATTENTION_BLOCK);
    return first * tokens + token * columns + query - first;
}

static size_t weights_size(size_t queries, size_t tokens) { return (tokens + 1) * shk_round16(queries); }

// The weights kept for backward: value, once divided by the query's sum, and sign where dropped.
static void check_weights(const char *isa, const struct reference *r, const float *p) {
    const float *inverse = p + r->tokens * shk_round16(r->queries);
    for (size_t i = 0; i < r->queries; i++)
        for (size_t j = 0; j < r->tokens; j++) {
            const float x = p[weight_place(r->queries, r->tokens, i, j)];
            const size_t at = i * r->tokens + j;
            const float positive = fabsf(x) * inverse[i];
            kt_close("weight", isa, &positive, r->p + at, r->p + at, 1, 0, r->tolerance);
            assert_int_equal(signbit(x) != 0, r->dropped[at]);
        }
}

struct results {
    float *p;
    struct matrix out, dq, dk, dv;
};

static struct results run(const struct shk_kernels *kernels, struct shk_attention a) {
    const size_t p_size = weights_size(a.queries, a.tokens);
    const struct results x = {kt_floats(p_size), matrix(a.queries, a.d, a.ld_out, NULL, 0),
                              matrix(a.queries, a.d, a.ld_q, NULL, 0), matrix(a.tokens, a.d, a.ld_kv, NULL, 0),
                              matrix(a.tokens, a.d, a.ld_kv, NULL, 0)};
    a.p = x.p;
    a.out = x.out.data;
    a.dq = x.dq.data;
    a.dk = x.dk.data;
    a.dv = x.dv.data;
    a.scratch = kt_bytes(shk_attention_scratch(a.queries, a.tokens, a.d));
    kernels->attention_forward(&a);
    kt_free(a.scratch);
    a.scratch = kt_bytes(shk_attention_scratch(a.queries, a.tokens, a.d));
    float *p = kt_copy(x.p, p_size);
    a.out = NULL;
    kernels->attention_backward(&a);
    kt_same_bits("p after backward", kernels->isa, x.p, p, p_size, shk_round16(a.queries));
    kt_free(p);
    kt_free(a.scratch);
    return x;
}

static void results_free(struct results *x) {
    kt_free(x->p);
    kt_free(x->out.data);
    kt_free(x->dq.data);
    kt_free(x->dk.data);
    kt_free(x->dv.data);
}

static void compare(const struct shk_attention *a, struct reference *r) {
    struct results first = {0};
    KT_FOR_ISAS(kernels) {
        struct results x = run(kernels, *a);
        const bool same = first.p != NULL;
        check_weights(kernels->isa, r, x.p);
        if (same)
            kt_same_bits("p", kernels->isa, x.p, first.p, weights_size(a->queries, a->tokens), shk_round16(a->queries));
        check_matrix("out", kernels->isa, &x.out, r->out, r->out_size, r->tolerance, same ? &first.out : NULL);
        check_matrix("dq", kernels->isa, &x.dq, r->dq, r->dq_size, r->tolerance, same ? &first.dq : NULL);
        check_matrix("dk", kernels->isa, &x.dk, r->dk, r->dk_size, r->tolerance, same ? &first.dk : NULL);
        check_matrix("dv", kernels->isa, &x.dv, r->dv, r->dv_size, r->tolerance, same ? &first.dv : NULL);
        if (same)
            results_free(&x);
        else
            first = x;
    }
    results_free(&first);
}

// sum of out * dout, of which dq, dk and dv are the gradients.
static double objective(struct reference *r) {
    reference_forward(r);
    return dot(r->out, r->dout, r->queries * r->d);
}

static void central_differences(struct reference *r) {
    struct {
        double *x;
        const double *gradient, *size;
        size_t n;
    } parts[] = {{r->q, r->dq, r->dq_size, r->queries * r->d},
                 {r->k, r->dk, r->dk_size, r->tokens * r->d},
                 {r->v, r->dv, r->dv_size, r->tokens * r->d}};
    const double h = 1e-4;
    for (size_t part = 0; part < 3; part++)
        for (size_t trial = 0; trial < 20; trial++) {
            const size_t i = kt_below(parts[part].n);
            const double x = parts[part].x[i];
            parts[part].x[i] = x + h;
            const double above = objective(r);
            parts[part].x[i] = x - h;
            const double below = objective(r);
            parts[part].x[i] = x;
            const double slope = (above - below) / (2 * h), error = fabs(slope - parts[part].gradient[i]);
            if (!(error <= 1e-6 * (parts[part].size[i] + 1)))
                fail_msg("part %zu element %zu: slope %.9g, gradient %.9g", part, i, slope, parts[part].gradient[i]);
        }
    reference_forward(r);
}

// Of queries and keys in this range, scores lie so far apart that one weight is 1 and the others are the least.
#define SATURATING 1e5f

static void attention(size_t queries, size_t tokens, size_t d, double p_drop, float range) {
    struct reference r = {
        queries, tokens, d, 1 / sqrt((double)d), 1, .q = doubles(queries * d), .k = doubles(tokens * d)};
    r.v = doubles(tokens * d), r.dout = doubles(queries * d), r.p = doubles(queries * tokens),
    r.out = doubles(queries * d);
    r.dq = doubles(queries * d), r.dk = doubles(tokens * d), r.dv = doubles(tokens * d);
    r.out_size = doubles(queries * d), r.dq_size = doubles(queries * d), r.dk_size = doubles(tokens * d),
    r.dv_size = doubles(tokens * d);
    r.dropped = calloc(queries * tokens, 1);
    struct shk_attention a = {.queries = queries, .tokens = tokens, .d = d, .scale = (float)r.scale};
    a.ld_q = d + 16 * kt_below(4), a.ld_kv = d + 16 * kt_below(4), a.ld_out = d + 16 * kt_below(4);
    r.scale = (double)a.scale;
    r.saturated = range >= SATURATING;
    // rounding of the scores becomes relative error of the weights
    r.tolerance = 4e-6 * (r.saturated ? 1 : (double)(range * range));
    a.element = 128 * (uint32_t)kt_below(1000);
    a.drop.threshold = (uint32_t)(p_drop * 65536 + 0.5);
    a.drop.scale = 65536.0f / (float)(65536 - a.drop.threshold);
    r.drop_scale = (double)a.drop.scale;
    for (int i = 0; i < 3; i++) a.drop.stream.stream[i] = (uint32_t)kt_next();
    for (int i = 0; i < 2; i++) a.drop.stream.key[i] = (uint32_t)kt_next();
    for (size_t i = 0; i < queries; i++)
        for (size_t j = 0; j < tokens; j++)
            r.dropped[i * tokens + j] = is_dropped(&a.drop, a.element + (uint32_t)weight_place(queries, tokens, i, j));
    struct matrix q = matrix(queries, d, a.ld_q, r.q, range), k = matrix(tokens, d, a.ld_kv, r.k, range);
    struct matrix v = matrix(tokens, d, a.ld_kv, r.v, 1), dout = matrix(queries, d, a.ld_out, r.dout, 1);
    a.q = q.data, a.k = k.data, a.v = v.data, a.dout = dout.data;
    reference_forward(&r);
    reference_backward(&r);
    if (range <= 1 && queries * tokens < 2000) central_differences(&r);
    compare(&a, &r);
    kt_free(q.data);
    kt_free(k.data);
    kt_free(v.data);
    kt_free(dout.data);
    reference_destroy(&r);
}

static void test_sizes(void **state) {
    (void)state;
    static const size_t tokens[] = {1, 2, 15, 16, 17, 31, 33, 50, 65, 80, 197};
    static const double drops[] = {0, 0.1, 0.5};
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++)
        for (size_t d = 16; d <= 64; d *= 2)
            for (size_t p = 0; p < 3; p++) {
                attention(tokens[t], tokens[t], d, drops[p], 1);
                attention(1, tokens[t], d, drops[p], 1);
            }
    for (size_t t = 3; t <= 26; t++) attention(8 + t % 2, t, 16, 0.1, 1); // tiles of all heights, half a vector or more
    attention(105, 17, 48, 0.1, 1);
    attention(7, 40, 16, 0.9, 1);
    attention(300, 20, 16, 0.1, 1);
    kt_report();
}

// Scores far apart: weights are as small as they get, or one.
static void test_sharp(void **state) {
    (void)state;
    attention(33, 65, 16, 0.1, 8);
    attention(17, 17, 32, 0, 8);
    kt_report();
}

// One token alone for each query, in panels of all kinds: nothing but rounding would go back through its softmax.
static void test_saturated(void **state) {
    (void)state;
    static const size_t queries[] = {1, 4, 13, 33, 50, 65};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        for (size_t d = 16; d <= 64; d *= 2) {
            attention(queries[i], queries[i], d, 0, SATURATING);
            attention(queries[i], 2 + queries[i], d, 0.3, SATURATING);
        }
    kt_report();
}

// Weights of `queries` equal queries whose scores are scores[tokens], to base 2, and the output of the last query for
// values of 1.
static float weigh(const struct shk_kernels *kernels, size_t queries, size_t tokens, const float *scores,
                   float *weights) {
    enum { D = 16 };
    // times log2(e) this is 1
    struct shk_attention a = {.queries = queries, .tokens = tokens, .d = D, .scale = 0.693147182f};
    a.ld_q = a.ld_kv = a.ld_out = D;
    a.drop.scale = 1;
    float *q = kt_floats(queries * D), *k = kt_floats(tokens * D), *v = kt_floats(tokens * D);
    float *out = kt_floats(queries * D), *p = kt_floats(weights_size(queries, tokens));
    for (size_t i = 0; i < queries * D; i++) q[i] = i % D == 0;
    for (size_t i = 0; i < tokens * D; i++) k[i] = i % D ? 0 : scores[i / D], v[i] = 1;
    a.q = q, a.k = k, a.v = v, a.out = out, a.p = p;
    a.scratch = kt_bytes(shk_attention_scratch(queries, tokens, D));
    kernels->attention_forward(&a);
    for (size_t j = 0; j < tokens; j++) weights[j] = p[weight_place(queries, tokens, queries - 1, j)];
    const float result = out[(queries - 1) * D];
    kt_free(a.scratch);
    kt_free(q);
    kt_free(k);
    kt_free(v);
    kt_free(out);
    kt_free(p);
    return result;
}

// Queries in whole vectors, in half a one, and one alone.
static const size_t panels[] = {9, 2, 1};

static void test_exponential(void **state) {
    (void)state;
    enum { TOKENS = 20000 };
    static float scores[TOKENS], weights[TOKENS];
    scores[0] = 3;
    for (size_t j = 1; j < TOKENS; j++) scores[j] = 3 - 64 * (float)j / TOKENS;
    KT_FOR_ISAS(kernels)
    for (size_t i = 0; i < 3; i++) {
        weigh(kernels, panels[i], TOKENS, scores, weights);
        const double largest = (double)weights[0];
        for (size_t j = 0; j < TOKENS; j++) {
            const double want = exp2((double)scores[j] - 3), error = (double)weights[j] / largest / want - 1;
            if (!(fabs(error) < (panels[i] == 1 ? 3.2e-7 : 1.6e-7)))
                fail_msg("2^%g: error %g", (double)scores[j], error);
        }
    }
}

// Scores as far apart as floats go; NaN and infinity reach the output.
static void test_not_finite(void **state) {
    (void)state;
    enum { TOKENS = 37 };
    float scores[TOKENS], weights[TOKENS];
    KT_FOR_ISAS(kernels)
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < TOKENS; j++) scores[j] = j % 2 ? -3e38f : 0;
        scores[20] = 3e38f;
        assert_true(fabsf(weigh(kernels, panels[i], TOKENS, scores, weights) - 1) < 1e-6f);
        for (size_t j = 0; j < TOKENS; j++)
            assert_true(j == 20 ? weights[j] == 1 : weights[j] < 1e-19f && weights[j] > 0);
        for (size_t j = 0; j < TOKENS; j++) scores[j] = (float)j;
        static const float bad[] = {NAN, -NAN, INFINITY};
        for (size_t j = 0; j < TOKENS; j += 9)
            for (size_t n = 0; n < 3; n++) {
                scores[j] = bad[n];
                assert_true(isnan(weigh(kernels, panels[i], TOKENS, scores, weights)));
                scores[j] = (float)j;
            }
        scores[5] = -INFINITY;
        assert_true(fabsf(weigh(kernels, panels[i], TOKENS, scores, weights) - 1) < 1e-6f);
    }
}

KT_MAIN(cmocka_unit_test(test_sizes), cmocka_unit_test(test_sharp), cmocka_unit_test(test_saturated),
        cmocka_unit_test(test_exponential), cmocka_unit_test(test_not_finite))
