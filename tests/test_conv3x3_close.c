// SPDX-License-Identifier: MIT
// The 3x3 convolution layer against double precision: forward against a direct convolution, gradients against central
// differences.
#include "conv3x3_layer.h"

// ---- The forward pass against a direct convolution in double

static double direct(const struct shk_conv3x3 *k, size_t wy, size_t wx, size_t a, size_t co, bool magnitude) {
    double z = magnitude ? fabs((double)k->bias[co]) : (double)k->bias[co];
    for (size_t t = 0; t < 9; t++)
        for (size_t ci = 0; ci < k->cin; ci++) {
            const double x = (double)pixel(k, 2 * wy + a / 2 + t / 3, 2 * wx + a % 2 + t % 3, ci);
            z += magnitude ? fabs(x * (double)weight(k, co, t, ci)) : x * (double)weight(k, co, t, ci);
        }
    return z;
}

// F(m x m, 3x3): the magnitudes of G, B^T and A^T.
struct winograd {
    size_t m, n; // n = m + 2
    double g[6][3], b[6][6], a[4][6];
};
static const struct winograd of_map = {
    4,
    6,
    {{0.25, 0, 0},
     {1 / 6.0, 1 / 6.0, 1 / 6.0},
     {1 / 6.0, 1 / 6.0, 1 / 6.0},
     {1 / 24.0, 1 / 12.0, 1 / 6.0},
     {1 / 24.0, 1 / 12.0, 1 / 6.0},
     {0, 0, 1}},
    {{4, 0, 5, 0, 1, 0},
     {0, 4, 4, 1, 1, 0},
     {0, 4, 4, 1, 1, 0},
     {0, 2, 1, 2, 1, 0},
     {0, 2, 1, 2, 1, 0},
     {0, 4, 0, 5, 0, 1}},
    {{1, 1, 1, 1, 1, 0}, {0, 1, 1, 2, 2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, 1, 8, 8, 1}}};
static const struct winograd of_image = {2,
                                         4,
                                         {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, {0, 0, 1}},
                                         {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}},
                                         {{1, 1, 1, 0}, {0, 1, 1, 1}}};

// What Winograd's roundings are relative to: all four matrices, pixels and weights by their absolute values.
static double winograd_magnitude(const struct winograd *f, const struct shk_conv3x3 *k, size_t wy, size_t wx, size_t a,
                                 size_t co) {
    const size_t zy = 2 * wy + a / 2, zx = 2 * wx + a % 2, y0 = zy / f->m * f->m, x0 = zx / f->m * f->m, n = f->n;
    double z = fabs((double)k->bias[co]);
    for (size_t i = 0; i < n * n * k->cin; i++) {
        const size_t y = i % (n * n) / n, x = i % n, ci = i / (n * n);
        double u = 0, v = 0;
        for (size_t t = 0; t < 9; t++) u += f->g[y][t / 3] * f->g[x][t % 3] * fabs((double)weight(k, co, t, ci));
        for (size_t p = 0; p < n * n; p++)
            v += f->b[y][p / n] * f->b[x][p % n] * fabs((double)pixel_or_0(k, y0 + p / n, x0 + p % n, ci));
        z += f->a[zy - y0][y] * f->a[zx - x0][x] * u * v;
    }
    return z;
}

// Roundings on the way of a product to z. Winograd: 4 in each direction of U, 2 of V, cin in the chain, 3 of A^T M A; of
// an image 2 in each direction of U, 1 of V, 3 in the chain, 2 behind it.
static void check_close(struct layer *l) {
    struct shk_conv3x3 k = l->k;
    const struct winograd *f = k.in_ld >= 16 ? &of_map : k.cin == 1 ? &of_image : NULL;
    const double roundings = f == &of_map ? (double)k.cin + 18 : f ? 11 : 9 * (double)k.cin;
    double *want = calloc(l->outputs, sizeof *want), *magnitude = calloc(l->outputs, sizeof *magnitude);
    k.scratch = kt_bytes(shk_conv3x3_scratch(k.h, k.w, k.in_ld));
    k.out = kt_floats(l->outputs);
    for (size_t i = 0; i < l->wh * l->ww * k.cout; i++) {
        const size_t wy = i / k.cout / l->ww, wx = i / k.cout % l->ww, co = i % k.cout, at = out_at(l, wy, wx) + co;
        for (size_t a = 0; a < 4; a++) {
            want[at] = fmax(want[at], direct(&k, wy, wx, a, co, false));
            magnitude[at] =
                fmax(magnitude[at], f ? winograd_magnitude(f, &k, wy, wx, a, co) : direct(&k, wy, wx, a, co, true));
        }
    }
    KT_FOR_ISAS(kernels) {
        memset(k.out, 0, l->outputs * sizeof *k.out);
        kernels->conv3x3_forward(&k);
        kt_close("forward", kernels->isa, k.out, want, magnitude, l->outputs, k.cout, (roundings + 1) * 0x1p-24);
    }
    free(want);
    free(magnitude);
    kt_free(k.scratch);
    kt_free(k.out);
}

static void test_close(void **state) {
    (void)state;
    const size_t shapes[][5] = {{9, 8, 1, 1, 16},     {9, 8, 1, 16, 16},  {7, 6, 3, 3, 32},
                                {16, 16, 16, 16, 32}, {7, 9, 20, 32, 48}, {4, 6, 64, 64, 32}};
    each_shape(shapes, sizeof shapes / sizeof *shapes, check_close);
    kt_report();
}

// ---- Gradients against central differences, in double

// sum over outputs of dout * maxpool(relu(conv + bias)), dense.
static double loss(const struct layer *l, const double *in, const double *w, const double *bias, const float *dout) {
    const struct shk_conv3x3 *k = &l->k;
    double sum = 0;
    for (size_t i = 0; i < l->wh * l->ww * k->cout; i++) {
        const size_t wy = i / k->cout / l->ww, wx = i / k->cout % l->ww, co = i % k->cout;
        double best = 0;
        for (size_t a = 0; a < 4; a++) {
            double z = bias[co];
            for (size_t t = 0; t < 9; t++)
                for (size_t ci = 0; ci < k->cin; ci++)
                    z += in[((2 * wy + a / 2 + t / 3) * (k->w + 2) + 2 * wx + a % 2 + t % 3) * k->in_ld + ci] *
                         w[weight_index(k, co, t, ci)];
            best = fmax(best, z);
        }
        sum += best * dout[out_at(l, wy, wx) + co];
    }
    return sum;
}

static double difference(const struct layer *l, double *x, const double *in, const double *w, const double *bias,
                         const float *dout) {
    const double before = *x, step = 1e-6;
    *x = before + step;
    const double up = loss(l, in, w, bias, dout);
    *x = before - step;
    const double down = loss(l, in, w, bias, dout);
    *x = before;
    return (up - down) / (2 * step);
}

static void check_gradients(struct layer *l) {
    struct shk_conv3x3 k = l->k;
    double *in = calloc(l->pixels, sizeof *in), *w = calloc(l->weights, sizeof *w),
           *bias = calloc(k.cout, sizeof *bias);
    double *want_in = calloc(l->pixels, sizeof *in), *want_w = calloc(l->weights, sizeof *w);
    double want_bias[32];
    float *dout = kt_random(l->outputs, -1, 1);
    for (size_t i = 0; i < l->pixels; i++) in[i] = (double)k.in[i];
    for (size_t i = 0; i < k.cout * 9 * k.cin; i++) {
        const size_t co = i / (9 * k.cin), t = i / k.cin % 9, ci = i % k.cin;
        w[weight_index(&k, co, t, ci)] = (double)weight(&k, co, t, ci);
    }
    for (size_t i = 0; i < k.cout; i++) bias[i] = (double)k.bias[i];
    for (size_t i = 0; i < k.cout; i++) want_bias[i] = difference(l, bias + i, in, w, bias, dout);
    for (size_t i = 0; i < l->weights; i++)
        if (w[i] != 0) want_w[i] = difference(l, w + i, in, w, bias, dout);
    for (size_t i = 0; i < l->pixels; i++)
        if (in[i] != 0) want_in[i] = difference(l, in + i, in, w, bias, dout);
    k.out = kt_floats(l->outputs);
    k.winners = kt_bytes(l->wh * l->ww * k.cout);
    k.dout = dout;
    k.scratch = kt_bytes(shk_conv3x3_scratch(k.h, k.w, k.in_ld));
    k.dweight = kt_floats(l->weights);
    k.dbias = kt_floats(k.cout);
    k.din = kt_floats(l->pixels);
    KT_FOR_ISAS(kernels) {
        memset(k.dweight, 0, l->weights * sizeof(float));
        memset(k.dbias, 0, k.cout * sizeof(float));
        kernels->conv3x3_forward(&k);
        kernels->conv3x3_wgrad(&k);
        kt_close("dweight", kernels->isa, k.dweight, want_w, NULL, l->weights, 16, 2e-5);
        kt_close("dbias", kernels->isa, k.dbias, want_bias, NULL, k.cout, 0, 2e-5);
        if (k.in_ld < 16) continue;
        kernels->conv3x3_dgrad(&k);
        for (size_t i = 0; i < l->pixels; i++)
            if (in[i] == 0) k.din[i] = 0; // border and pad
        kt_close("din", kernels->isa, k.din, want_in, NULL, l->pixels, k.in_ld, 2e-5);
    }
    kt_report();
    double *doubles[] = {in, w, bias, want_in, want_w};
    for (size_t i = 0; i < 5; i++) free(doubles[i]);
    float *floats[] = {dout, k.out, k.dweight, k.dbias, k.din, k.scratch};
    for (size_t i = 0; i < 6; i++) kt_free(floats[i]);
    kt_free(k.winners);
}

static void test_gradients(void **state) {
    (void)state;
    const size_t shapes[][4] = {{6, 7, 1, 16}, {7, 6, 3, 32}, {6, 5, 5, 16}, {4, 6, 16, 16}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct layer l = layer_new(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], 0);
        check_gradients(&l);
        layer_free(&l);
    }
}

KT_MAIN(cmocka_unit_test(test_close), cmocka_unit_test(test_gradients))
