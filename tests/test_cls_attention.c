// SPDX-License-Identifier: MIT
// Attention of CLS alone on every ISA: the bits of the C kernels, the values and gradients of a double reference
// (itself held against central differences), dropout by the counter-based draws, and nothing touched beside the results.
#include "kernel_test.h"

#include <Random123/philox.h>

// Everything in double, contiguous. `*_size`: sums of magnitudes.
struct reference {
    size_t tokens, cols, heads;
    double scale, drop_scale, tolerance;
    bool saturated;          // each head has one token alone, and so its scores have no gradients
    double *x, *u, *dz, *dr; // [tokens][cols], [heads][cols], [heads][cols], [heads]
    unsigned char *dropped;  // [heads][tokens]
    double *p;               // [heads][tokens]
    double *z, *r, *du, *dx, *z_size, *r_size, *du_size, *dx_size;
};

// The size of a score's gradient where there is none: 6e-8, a rounding error of dp, would be far too much.
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

static void add_scaled(double *to, double *size, const double *x, double by, double by_size, size_t n) {
    for (size_t c = 0; c < n; c++) {
        to[c] += by * x[c];
        size[c] += by_size * fabs(x[c]);
    }
}

static void reference_forward(struct reference *r) {
    for (size_t h = 0; h < r->heads; h++) {
        double *p = r->p + h * r->tokens, *z = r->z + h * r->cols, *z_size = r->z_size + h * r->cols;
        double most = -INFINITY, sum = 0;
        for (size_t t = 0; t < r->tokens; t++) {
            p[t] = dot(r->u + h * r->cols, r->x + t * r->cols, r->cols) * r->scale;
            most = fmax(most, p[t]);
        }
        for (size_t t = 0; t < r->tokens; t++) sum += p[t] = fmax(exp(p[t] - most), 0x1p-64); // as the contract says
        for (size_t t = 0; t < r->tokens; t++) p[t] /= sum;
        r->r[h] = 0;
        for (size_t c = 0; c < r->cols; c++) z[c] = 0, z_size[c] = 1e-30;
        for (size_t t = 0; t < r->tokens; t++) {
            const double pd = dropped_weight(r, h * r->tokens + t);
            r->r[h] += pd;
            add_scaled(z, z_size, r->x + t * r->cols, pd, pd, r->cols);
        }
        r->r_size[h] = r->r[h] + 1e-30;
    }
}

static void reference_backward(struct reference *r) {
    const size_t n = r->cols;
    double *dpd = doubles(r->tokens), *dpd_size = doubles(r->tokens);
    for (size_t h = 0; h < r->heads; h++) {
        const double *u = r->u + h * n, *dz = r->dz + h * n;
        double delta = 0, delta_size = 0;
        for (size_t t = 0; t < r->tokens; t++) {
            const double pd = dropped_weight(r, h * r->tokens + t);
            dpd[t] = r->dr[h] + dot(dz, r->x + t * n, n);
            dpd_size[t] = fabs(r->dr[h]) + dot_size(dz, r->x + t * n, n);
            delta += pd * dpd[t];
            delta_size += pd * dpd_size[t];
            add_scaled(r->dx + t * n, r->dx_size + t * n, dz, pd, pd, n);
        }
        for (size_t t = 0; t < r->tokens; t++) {
            const double p = r->p[h * r->tokens + t], pd = dropped_weight(r, h * r->tokens + t);
            const double ds = (pd * dpd[t] - p * delta) * r->scale;
            const double size =
                r->saturated ? NO_GRADIENT : (pd * dpd_size[t] + p * delta_size) * fabs(r->scale) + 1e-30;
            add_scaled(r->du + h * n, r->du_size + h * n, r->x + t * n, ds, size, n);
            add_scaled(r->dx + t * n, r->dx_size + t * n, u, ds, size, n);
        }
    }
    free(dpd);
    free(dpd_size);
}

// sum of z * dz + r * dr, of which du and dx are the gradients.
static double objective(struct reference *r) {
    reference_forward(r);
    return dot(r->z, r->dz, r->heads * r->cols) + dot(r->r, r->dr, r->heads);
}

static void central_differences(struct reference *r) {
    struct {
        double *x;
        const double *gradient, *size;
        size_t n;
    } parts[] = {{r->x, r->dx, r->dx_size, r->tokens * r->cols}, {r->u, r->du, r->du_size, r->heads * r->cols}};
    const double step = 1e-4;
    for (size_t part = 0; part < 2; part++)
        for (size_t trial = 0; trial < 10; trial++) {
            const size_t i = kt_below(parts[part].n);
            const double x = parts[part].x[i];
            parts[part].x[i] = x + step;
            const double above = objective(r);
            parts[part].x[i] = x - step;
            const double below = objective(r);
            parts[part].x[i] = x;
            const double slope = (above - below) / (2 * step), error = fabs(slope - parts[part].gradient[i]);
            if (!(error <= 1e-6 * (parts[part].size[i] + 1)))
                fail_msg("part %zu element %zu: slope %.9g, gradient %.9g", part, i, slope, parts[part].gradient[i]);
        }
    reference_forward(r);
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

// rows x cols at stride ld, poison between; random if lo < hi, and then also in `want`.
static float *matrix(size_t rows, size_t cols, size_t ld, double *want, float range) {
    float *x = kt_floats((rows - 1) * ld + cols);
    for (size_t i = 0; want && i < rows * cols; i++) want[i] = x[i / cols * ld + i % cols] = kt_uniform(-range, range);
    return x;
}

struct results {
    float *p, *z, *r, *du, *dx;
};

static struct results run(const struct shk_kernels *kernels, struct shk_cls_attention a) {
    const size_t ld = shk_round16(a.tokens), scratch = shk_cls_attention_scratch(a.tokens, a.heads);
    const struct results x = {kt_floats(a.heads * ld), kt_floats(a.heads * a.cols), kt_floats_any(a.heads),
                              kt_floats(a.heads * a.cols), matrix(a.tokens, a.cols, (size_t)a.dx_row, NULL, 0)};
    const float *both = a.u;
    float *u = kt_copy(both, a.heads * a.cols); // forward reads no more
    a.p = x.p, a.z = x.z, a.r = x.r, a.du = x.du, a.dx = x.dx;
    a.u = u;
    a.scratch = kt_bytes(scratch);
    kernels->cls_attention_forward(&a);
    kt_free(a.scratch);
    kt_free(u);
    float *p = kt_copy(x.p, a.heads * ld);
    a.u = both;
    a.z = NULL;
    a.r = NULL;
    a.scratch = kt_bytes(scratch);
    kernels->cls_attention_backward(&a);
    kt_free(a.scratch);
    kt_same_bits("p after backward", kernels->isa, x.p, p, a.heads * ld, ld);
    kt_free(p);
    return x;
}

static void results_free(struct results *x) {
    kt_free(x->p);
    kt_free(x->z);
    kt_free(x->r);
    kt_free(x->du);
    kt_free(x->dx);
}

static void check_weights(const char *isa, const struct reference *r, const float *p) {
    const size_t ld = shk_round16(r->tokens);
    for (size_t h = 0; h < r->heads; h++)
        for (size_t t = 0; t < ld; t++) {
            const float x = p[h * ld + t], positive = fabsf(x);
            if (t >= r->tokens) {
                assert_true(x == 0);
                continue;
            }
            const double want = r->p[h * r->tokens + t];
            kt_close("weight", isa, &positive, &want, &want, 1, 0, r->tolerance);
            assert_int_equal(signbit(x) != 0, r->dropped[h * r->tokens + t]);
        }
}

static void check_dx(const char *isa, const struct reference *r, const float *dx, size_t ld) {
    for (size_t t = 0; t < r->tokens; t++) {
        kt_close("dx", isa, dx + t * ld, r->dx + t * r->cols, r->dx_size + t * r->cols, r->cols, 0, r->tolerance);
        for (size_t c = r->cols; c < ld && t + 1 < r->tokens; c++) assert_int_equal(kt_bits(dx[t * ld + c]), KT_POISON);
    }
}

static void compare(const struct shk_cls_attention *a, const struct reference *r) {
    const size_t ld = shk_round16(a->tokens), n = a->heads * a->cols;
    struct results first = {0};
    KT_FOR_ISAS(kernels) {
        const char *isa = kernels->isa;
        struct results x = run(kernels, *a);
        check_weights(isa, r, x.p);
        kt_close("z", isa, x.z, r->z, r->z_size, n, a->cols, r->tolerance);
        kt_close("r", isa, x.r, r->r, r->r_size, a->heads, 0, r->tolerance);
        kt_close("du", isa, x.du, r->du, r->du_size, n, a->cols, r->tolerance);
        check_dx(isa, r, x.dx, (size_t)a->dx_row);
        if (!first.p) {
            first = x;
            continue;
        }
        kt_same_bits("p", isa, x.p, first.p, a->heads * ld, ld);
        kt_same_bits("z", isa, x.z, first.z, n, a->cols);
        kt_same_bits("r", isa, x.r, first.r, a->heads, 0);
        kt_same_bits("du", isa, x.du, first.du, n, a->cols);
        kt_same_bits("dx", isa, x.dx, first.dx, (a->tokens - 1) * (size_t)a->dx_row + a->cols, (size_t)a->dx_row);
        results_free(&x);
    }
    results_free(&first);
}

static void reference_create(struct reference *r) {
    const size_t n = r->heads * r->cols, all = r->tokens * r->cols;
    r->x = doubles(all), r->u = doubles(n), r->dz = doubles(n), r->dr = doubles(r->heads);
    r->dropped = calloc(r->heads * r->tokens, 1);
    r->p = doubles(r->heads * r->tokens);
    r->z = doubles(n), r->r = doubles(r->heads), r->du = doubles(n), r->dx = doubles(all);
    r->z_size = doubles(n), r->r_size = doubles(r->heads), r->du_size = doubles(n), r->dx_size = doubles(all);
}

static void reference_destroy(struct reference *r) {
    double *all[] = {r->x,  r->u,  r->dz,     r->dr,     r->p,       r->z,      r->r,
                     r->du, r->dx, r->z_size, r->r_size, r->du_size, r->dx_size};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(r->dropped);
}

// Of tokens and vectors u in this range, scores lie so far apart that one weight is 1 and the others are the least.
#define SATURATING 1e5f

static void cls_attention(size_t tokens, size_t cols, size_t heads, double p_drop, float range) {
    struct reference r = {tokens, cols, heads, .scale = (double)(float)(1 / sqrt((double)cols))};
    reference_create(&r);
    r.saturated = range >= SATURATING;
    // rounding of the scores becomes relative error of the weights
    r.tolerance = 4e-6 * (r.saturated ? 1 : fmax(1, (double)(range * range)));
    struct shk_cls_attention a = {.tokens = tokens, .cols = cols, .heads = heads, .scale = (float)r.scale};
    a.element = 128 * (uint32_t)kt_below(1000);
    a.drop.threshold = (uint32_t)(p_drop * 65536 + 0.5);
    a.drop.scale = 65536.0f / (float)(65536 - a.drop.threshold);
    r.drop_scale = (double)a.drop.scale;
    for (int i = 0; i < 3; i++) a.drop.stream.stream[i] = (uint32_t)kt_next();
    for (int i = 0; i < 2; i++) a.drop.stream.key[i] = (uint32_t)kt_next();
    const size_t rounded = (tokens + 15) / 16 * 16, apart = rounded < 128 ? rounded : 128;
    const size_t head_elements = (tokens * rounded + 127) / 128 * 128;
    for (size_t h = 0; h < heads; h++)
        for (size_t t = 0; t < tokens; t++)
            r.dropped[h * tokens + t] = is_dropped(&a.drop, a.element + (uint32_t)(h * head_elements + t * apart));
    a.x_row = (ptrdiff_t)(cols + 16 * kt_below(3));
    a.dx_row = (ptrdiff_t)(cols + 16 * kt_below(3));
    float *x = matrix(tokens, cols, (size_t)a.x_row, r.x, range), *u = matrix(heads, cols, cols, r.u, range);
    float *dz = matrix(heads, cols, cols, r.dz, 1), *both = kt_floats(2 * heads * cols), *dr = kt_floats_any(heads);
    memcpy(both, u, heads * cols * sizeof *both);
    memcpy(both + heads * cols, dz, heads * cols * sizeof *both);
    for (size_t h = 0; h < heads; h++) r.dr[h] = dr[h] = kt_uniform(-1, 1);
    a.x = x, a.u = both, a.dr = dr;
    reference_forward(&r);
    reference_backward(&r);
    if (range <= 1 && tokens * cols < 2000) central_differences(&r);
    compare(&a, &r);
    kt_free(x);
    kt_free(u);
    kt_free(dz);
    kt_free(both);
    kt_free(dr);
    reference_destroy(&r);
}

static void test_tokens(void **state) {
    (void)state;
    for (size_t tokens = 1; tokens <= 70; tokens++) cls_attention(tokens, 64, 4, tokens % 2 ? 0.1 : 0, 1);
    for (size_t tokens = 1; tokens <= 70; tokens++) cls_attention(tokens, 16, 2, tokens % 2 ? 0 : 0.5, 1);
    cls_attention(197, 192, 3, 0.1, 1);
    cls_attention(197, 64, 8, 0, 1);
    kt_report();
}

static void test_widths(void **state) {
    (void)state;
    static const double drops[] = {0, 0.1, 0.9};
    for (size_t cols = 16; cols <= 192; cols += 16)
        for (size_t heads = 1; heads <= 8; heads++) cls_attention(1 + kt_below(40), cols, heads, drops[heads % 3], 1);
    kt_report();
}

// Scores far apart: weights underflow to zero or are one.
static void test_sharp(void **state) {
    (void)state;
    cls_attention(65, 64, 4, 0.1, 6);
    cls_attention(17, 32, 3, 0, 6);
    kt_report();
}

// One token alone for each head: nothing but rounding would go back through its softmax.
static void test_saturated(void **state) {
    (void)state;
    for (size_t tokens = 1; tokens <= 40; tokens++) cls_attention(tokens, 16, 4, tokens % 2 ? 0.3 : 0, SATURATING);
    for (size_t heads = 1; heads <= 8; heads++) cls_attention(65, 64, heads, heads % 2 ? 0 : 0.3, SATURATING);
    kt_report();
}

KT_MAIN(cmocka_unit_test(test_tokens), cmocka_unit_test(test_widths), cmocka_unit_test(test_sharp),
        cmocka_unit_test(test_saturated))
