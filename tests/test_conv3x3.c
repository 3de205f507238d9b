// SPDX-License-Identifier: MIT
// The 3x3 convolution layer: every ISA against a reference written from the contract, to the bit.
#include "conv3x3_layer.h"

// ---- The reference

static void direct_z(const struct shk_conv3x3 *k, size_t wy, size_t wx, size_t co, float *z) {
    for (size_t a = 0; a < 4; a++) {
        z[a] = k->bias[co];
        for (size_t t = 0; t < 9; t++)
            for (size_t ci = 0; ci < k->cin; ci++)
                z[a] = fmaf(pixel(k, 2 * wy + a / 2 + t / 3, 2 * wx + a % 2 + t % 3, ci), weight(k, co, t, ci), z[a]);
    }
}

static void input_1d(float *v, size_t step) {
    float d[6];
    for (size_t i = 0; i < 6; i++) d[i] = v[i * step];
    const float a = fmaf(-4, d[2], d[4]), b = fmaf(-4, d[1], d[3]), e = d[4] - d[2], f = d[3] - d[1];
    v[0] = fmaf(4, d[0], fmaf(-5, d[2], d[4]));
    v[step] = a + b;
    v[2 * step] = a - b;
    v[3 * step] = fmaf(2, f, e);
    v[4 * step] = fmaf(-2, f, e);
    v[5 * step] = fmaf(4, d[1], fmaf(-5, d[3], d[5]));
}

// The tile that begins with window (wy, wx): v[cin][36].
static void tile_input(const struct shk_conv3x3 *k, size_t wy, size_t wx, float *v) {
    for (size_t ci = 0; ci < k->cin; ci++, v += POINTS) {
        for (size_t i = 0; i < POINTS; i++) v[i] = pixel_or_0(k, 2 * wy + i / 6, 2 * wx + i % 6, ci);
        for (size_t x = 0; x < 6; x++) input_1d(v + x, 6);
        for (size_t y = 0; y < 6; y++) input_1d(v + 6 * y, 1);
    }
}

static void output_1d(const float *m, size_t step, float *z, size_t z_step) {
    const float a = m[step] + m[2 * step], b = m[step] - m[2 * step];
    const float c = m[3 * step] + m[4 * step], d = m[3 * step] - m[4 * step];
    z[0] = (m[0] + a) + c;
    z[z_step] = fmaf(2, d, b);
    z[2 * z_step] = fmaf(4, c, a);
    z[3 * z_step] = fmaf(8, d, b) + m[5 * step];
}

// z[4][4] of a tile
static void winograd_z(const struct shk_conv3x3 *k, const float *v, size_t co, float *z) {
    float m[POINTS], s[24];
    for (size_t at = 0; at < POINTS; at++) {
        m[at] = at == 7 ? k->bias[co] : 0;
        for (size_t ci = 0; ci < k->cin; ci++)
            m[at] =
                fmaf(v[POINTS * ci + at], k->winograd[((co / 16 * POINTS + at) * k->cin + ci) * 16 + co % 16], m[at]);
    }
    for (size_t x = 0; x < 6; x++) output_1d(m + x, 6, s + x, 6);
    for (size_t y = 0; y < 4; y++) output_1d(s + 6 * y, 1, z + 4 * y, 1);
}

// An image of one channel: V of a window, one direction of U, and z of a window.
static void image_input_1d(float *v, size_t step) {
    const float d0 = v[0], d1 = v[step], d2 = v[2 * step], d3 = v[3 * step];
    v[0] = d0 - d2;
    v[step] = d1 + d2;
    v[2 * step] = d2 - d1;
    v[3 * step] = d1 - d3;
}

static void image_weights_1d(const double *g, size_t step, double *u, size_t u_step) {
    const double a = g[0] + g[2 * step];
    u[0] = g[0];
    u[u_step] = 0.5 * (a + g[step]);
    u[2 * u_step] = 0.5 * (a - g[step]);
    u[3 * u_step] = g[2 * step];
}

static void image_z(const struct shk_conv3x3 *k, size_t wy, size_t wx, size_t co, float *z) {
    double g[9], h[12], exact[16];
    float u[16], v[16], s[8];
    for (size_t t = 0; t < 9; t++) g[t] = (double)weight(k, co, t, 0);
    for (size_t x = 0; x < 3; x++) image_weights_1d(g + x, 3, h + x, 3);
    for (size_t y = 0; y < 4; y++) image_weights_1d(h + 3 * y, 1, exact + 4 * y, 1);
    for (size_t i = 0; i < 16; i++) u[i] = (float)exact[i];
    for (size_t i = 0; i < 16; i++) v[i] = pixel(k, 2 * wy + i / 4, 2 * wx + i % 4, 0);
    for (size_t x = 0; x < 4; x++) image_input_1d(v + x, 4);
    for (size_t y = 0; y < 4; y++) image_input_1d(v + 4 * y, 1);
    for (size_t x = 0; x < 4; x++) {
        const float m1 = x == 1 ? fmaf(v[5], u[5], k->bias[co]) : v[4 + x] * u[4 + x];
        s[x] = fmaf(v[x], u[x], fmaf(v[8 + x], u[8 + x], m1));
        s[4 + x] = fmaf(-v[12 + x], u[12 + x], fmaf(-v[8 + x], u[8 + x], m1));
    }
    for (size_t y = 0; y < 2; y++) {
        z[2 * y] = (s[4 * y] + s[4 * y + 1]) + s[4 * y + 2];
        z[2 * y + 1] = (s[4 * y + 1] - s[4 * y + 2]) - s[4 * y + 3];
    }
}

static void reference_pool(const float z[4], float *out, uint8_t *winners) {
    float best = -INFINITY;
    uint8_t at = 0;
    for (uint8_t a = 0; a < 4; a++) {
        if (isnan(z[a])) best = NAN;
        if (z[a] > best) {
            best = z[a];
            at = a;
        }
    }
    *out = isnan(best) ? NAN : best > 0 ? best : 0;
    *winners = best > 0 ? at : 4;
}

// z[4] of a window; v: of its tile, if a map.
static void window_z(const struct shk_conv3x3 *k, const float *v, size_t wy, size_t wx, size_t co, float *z) {
    if (k->in_ld >= 16) {
        float tile[16];
        winograd_z(k, v, co, tile);
        for (size_t a = 0; a < 4; a++) z[a] = tile[(wy % 2 * 2 + a / 2) * 4 + wx % 2 * 2 + a % 2];
    } else if (k->cin == 1) {
        image_z(k, wy, wx, co, z);
    } else {
        direct_z(k, wy, wx, co, z);
    }
}

static void reference_forward(const struct layer *l, float *out, uint8_t *winners) {
    const struct shk_conv3x3 *k = &l->k;
    float *v = kt_floats(POINTS * k->cin);
    for (size_t wy = 0; wy < l->wh; wy++)
        for (size_t wx = 0; wx < l->ww; wx++) {
            if (k->in_ld >= 16) tile_input(k, wy & ~(size_t)1, wx & ~(size_t)1, v);
            for (size_t co = 0; co < k->cout; co++) {
                float z[4];
                window_z(k, v, wy, wx, co, z);
                reference_pool(z, &out[out_at(l, wy, wx) + co], &winners[(wy * l->ww + wx) * k->cout + co]);
            }
        }
    kt_free(v);
}

static void reference_dgrad(const struct layer *l, const float *dout, const uint8_t *winners, float *din) {
    const struct shk_conv3x3 *k = &l->k;
    float *patch = kt_floats(16 * k->in_ld);
    memset(din, 0, l->pixels * sizeof *din);
    for (size_t i = 0; i < (k->cout + SHK_CONV3X3_BLOCK - 1) / SHK_CONV3X3_BLOCK * l->wh * l->ww; i++) {
        const size_t block = i / (l->wh * l->ww) * SHK_CONV3X3_BLOCK, wy = i / l->ww % l->wh, wx = i % l->ww;
        memset(patch, 0, 16 * k->in_ld * sizeof *patch);
        for (size_t a = 0; a < 4; a++)
            for (size_t co = block; co < block + SHK_CONV3X3_BLOCK && co < k->cout; co++) {
                if (winners[(wy * l->ww + wx) * k->cout + co] != a) continue;
                for (size_t t = 0; t < 9; t++)
                    for (size_t ci = 0; ci < k->in_ld; ci++) {
                        float *p = patch + ((a / 2 + t / 3) * 4 + a % 2 + t % 3) * k->in_ld + ci;
                        *p = fmaf(dout[out_at(l, wy, wx) + co], k->taps[(co * 9 + t) * k->in_ld + ci], *p);
                    }
            }
        for (size_t j = 0; j < 16 * k->in_ld; j++) {
            const size_t at = j / k->in_ld;
            din[((2 * wy + at / 4) * (k->w + 2) + 2 * wx + at % 4) * k->in_ld + j % k->in_ld] += patch[j];
        }
    }
    kt_free(patch);
}

static void reference_wgrad(const struct layer *l, const float *dout, const uint8_t *winners, float *dweight,
                            float *dbias) {
    const struct shk_conv3x3 *k = &l->k;
    for (size_t i = 0; i < l->wh * l->ww * k->cout; i++) {
        const size_t wy = i / k->cout / l->ww, wx = i / k->cout % l->ww, co = i % k->cout, a = winners[i];
        if (a == 4) continue;
        const float d = dout[out_at(l, wy, wx) + co];
        dbias[co] += d;
        for (size_t t = 0; t < 9; t++)
            for (size_t ci = 0; ci < k->in_ld; ci++) {
                float *w = dweight + weight_index(k, co, t, ci);
                *w = fmaf(pixel(k, 2 * wy + a / 2 + t / 3, 2 * wx + a % 2 + t % 3, ci), d, *w);
            }
    }
}

// ---- Every ISA against the reference

// Only pixels that the contract specifies: the border of din is not.
static void same_inside(const struct layer *l, const char *isa, float *got, const float *want) {
    const size_t ld = l->k.in_ld, row = (l->k.w + 2) * ld;
    for (size_t y = 1; y <= l->k.h; y++)
        kt_same_bits("dgrad", isa, got + y * row + ld, want + y * row + ld, l->k.w * ld, ld);
}

static void check_weights(const struct layer *l, const struct shk_kernels *kernels) {
    const size_t panel = POINTS * l->k.cin * 16;
    float *got = kt_floats(panel);
    for (size_t co = 0; co < l->k.cout; co += 16) {
        const struct shk_conv3x3_weights a = {l->k.cin, l->k.in_ld, l->k.taps + co * 9 * l->k.in_ld, got};
        kernels->conv3x3_weights(&a);
        kt_same_bits("weights", kernels->isa, got, l->k.winograd + co / 16 * panel, panel, 16);
        kt_repoison(got, panel);
    }
    kt_free(got);
}

static void check_layer(struct layer *l) {
    const size_t args = l->wh * l->ww * l->k.cout;
    struct shk_conv3x3 k = l->k;
    float *out = kt_floats(l->outputs), *dout = kt_random(l->outputs, -1, 1);
    uint8_t *winners = kt_bytes(args), *got_winners = kt_bytes(args);
    float *dweight = kt_random(l->weights, -1, 1), *dbias = kt_random(k.cout, -1, 1);
    if (k.in_ld >= 16)
        for (size_t i = 0; i < l->weights; i++)
            if (i % k.in_ld >= k.cin) dweight[i] = 0;
    float *in_before = kt_copy(k.in, l->pixels), *dw_before = kt_copy(dweight, l->weights);
    float *db_before = kt_copy(dbias, k.cout), *din = kt_floats(l->pixels);
    reference_forward(l, out, winners);
    reference_wgrad(l, dout, winners, dweight, dbias);
    if (k.in_ld >= 16) reference_dgrad(l, dout, winners, din);
    KT_FOR_ISAS(kernels) {
        if (k.in_ld >= 16) check_weights(l, kernels);
        k.scratch = kt_bytes(shk_conv3x3_scratch(k.h, k.w, k.in_ld));
        k.out = kt_floats(l->outputs);
        k.winners = NULL;
        kernels->conv3x3_forward(&k);
        kt_same_bits("forward without winners", kernels->isa, k.out, out, l->outputs, k.cout);
        kt_repoison(k.out, l->outputs);
        k.winners = got_winners;
        kernels->conv3x3_forward(&k);
        kt_same_bits("forward", kernels->isa, k.out, out, l->outputs, k.cout);
        assert_memory_equal(got_winners, winners, args);
        k.dout = dout;
        k.dweight = kt_copy(dw_before, l->weights);
        k.dbias = kt_copy(db_before, k.cout);
        kernels->conv3x3_wgrad(&k);
        kt_same_bits("wgrad", kernels->isa, k.dweight, dweight, l->weights, k.in_ld >= 16 ? k.in_ld : 16);
        kt_same_bits("wgrad bias", kernels->isa, k.dbias, dbias, k.cout, 0);
        if (k.in_ld >= 16) {
            k.din = kt_floats(l->pixels);
            kernels->conv3x3_dgrad(&k);
            same_inside(l, kernels->isa, k.din, din);
            kt_free(k.din);
        }
        kt_same_bits("in", kernels->isa, k.in, in_before, l->pixels, k.in_ld);
        kt_free(k.scratch);
        kt_free(k.out);
        kt_free(k.dweight);
        kt_free(k.dbias);
    }
    float *mine[] = {out, dout, dweight, dbias, in_before, dw_before, db_before, din};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) kt_free(mine[i]);
    kt_free(winners);
    kt_free(got_winners);
}

static const size_t all_cin[] = {1, 2, 3, 4, 5, 12, 16, 20, 32, 48}, all_cout[] = {16, 32, 48, 80};

static void test_sizes(void **state) {
    (void)state;
    size_t pair = 0;
    for (size_t h = 2; h <= 11; h++)
        for (size_t w = 2; w <= 11; w++)
            for (int repeat = 0; repeat < 3; repeat++, pair += 7) {
                struct layer l = layer_new(h, w, all_cin[pair % 10], all_cout[pair / 10 % 4], repeat == 0 ? 1 : 0);
                check_layer(&l);
                layer_free(&l);
            }
}

// More windows than are worked on at a time, and the shapes of the models.
static void test_large(void **state) {
    (void)state;
    const size_t shapes[][5] = {{32, 32, 1, 1, 16},   {28, 28, 1, 1, 80},   {5, 70, 1, 1, 48},
                                {32, 32, 3, 3, 16},   {16, 16, 16, 16, 32}, {19, 21, 16, 16, 16},
                                {18, 14, 20, 32, 48}, {8, 8, 64, 64, 128},  {4, 6, 32, 32, 80}};
    each_shape(shapes, sizeof shapes / sizeof *shapes, check_layer);
}

// An image of halves: Winograd is exact, and ties go to the first.
static void test_exact(void **state) {
    (void)state;
    struct layer l = layer_of(9, 40, 1, 1, 32, 3);
    struct shk_conv3x3 k = l.k;
    const size_t args = l.wh * l.ww * k.cout;
    float *out = kt_floats(l.outputs);
    uint8_t *winners = kt_bytes(args);
    for (size_t i = 0; i < args; i++) {
        const size_t wy = i / k.cout / l.ww, wx = i / k.cout % l.ww, co = i % k.cout;
        float z[4];
        direct_z(&k, wy, wx, co, z);
        reference_pool(z, &out[out_at(&l, wy, wx) + co], &winners[i]);
    }
    k.out = kt_floats(l.outputs);
    k.winners = kt_bytes(args);
    KT_FOR_ISAS(kernels) {
        kernels->conv3x3_forward(&k);
        kt_same_bits("exact", kernels->isa, k.out, out, l.outputs, k.cout);
        assert_memory_equal(k.winners, winners, args);
    }
    kt_free(out);
    kt_free(winners);
    kt_free(k.out);
    kt_free(k.winners);
    layer_free(&l);
}

// Several samples at once are the same as one after the other.
static void test_samples(void **state) {
    (void)state;
    enum { SAMPLES = 5 };
    for (size_t pair = 0; pair < 40; pair++) {
        struct layer l = layer_new(2 + kt_below(12), 2 + kt_below(12), all_cin[pair % 10], all_cout[pair / 10], 0);
        struct shk_conv3x3 k = l.k;
        const size_t args = l.wh * l.ww * k.cout;
        k.in_sample = k.in_ld < 16 ? l.pixels : l.pixels + 16;
        k.out_sample = shk_round16(l.outputs) + 16;
        k.winners_sample = args;
        float *in = image((SAMPLES - 1) * k.in_sample + l.pixels, k.in_ld);
        const size_t outputs = (SAMPLES - 1) * k.out_sample + l.outputs;
        float *want = kt_floats(outputs), *dout = kt_random(outputs, -1, 1);
        float *want_dw = kt_floats(l.weights), *want_db = kt_floats(k.cout);
        float *want_din = k.in_ld < 16 ? NULL : kt_floats(SAMPLES * k.in_sample);
        uint8_t *want_winners = kt_bytes(SAMPLES * args);
        memset(want_dw, 0, l.weights * sizeof(float));
        memset(want_db, 0, k.cout * sizeof(float));
        for (size_t i = 0; i < SAMPLES; i++) {
            struct layer one = l;
            float *x = in + i * k.in_sample;
            for (size_t j = 0; j < l.pixels; j++) x[j] = l.k.in[j] * (float)(i + 1);
            one.k.in = x;
            reference_forward(&one, want + i * k.out_sample, want_winners + i * args);
            reference_wgrad(&one, dout + i * k.out_sample, want_winners + i * args, want_dw, want_db);
            if (want_din)
                reference_dgrad(&one, dout + i * k.out_sample, want_winners + i * args, want_din + i * k.in_sample);
        }
        k.in = in;
        k.samples = SAMPLES;
        KT_FOR_ISAS(kernels) {
            k.scratch = kt_bytes(shk_conv3x3_scratch(k.h, k.w, k.in_ld));
            k.out = kt_floats(outputs);
            k.winners = kt_bytes(SAMPLES * args);
            k.dout = dout;
            k.dweight = kt_floats(l.weights);
            k.dbias = kt_floats(k.cout);
            memset(k.dweight, 0, l.weights * sizeof(float));
            memset(k.dbias, 0, k.cout * sizeof(float));
            kernels->conv3x3_forward(&k);
            kt_same_bits("samples", kernels->isa, k.out, want, outputs, k.cout);
            assert_memory_equal(k.winners, want_winners, SAMPLES * args);
            kernels->conv3x3_wgrad(&k);
            kt_same_bits("samples' dweight", kernels->isa, k.dweight, want_dw, l.weights, 16);
            kt_same_bits("samples' dbias", kernels->isa, k.dbias, want_db, k.cout, 0);
            if (want_din) {
                k.din = kt_floats(SAMPLES * k.in_sample);
                kernels->conv3x3_dgrad(&k);
                for (size_t i = 0; i < SAMPLES; i++)
                    same_inside(&l, kernels->isa, k.din + i * k.in_sample, want_din + i * k.in_sample);
                kt_free(k.din);
            }
            kt_free(k.scratch);
            kt_free(k.out);
            kt_free(k.winners);
            kt_free(k.dweight);
            kt_free(k.dbias);
        }
        kt_free(in);
        kt_free(want);
        kt_free(dout);
        kt_free(want_dw);
        kt_free(want_db);
        if (want_din) kt_free(want_din);
        kt_free(want_winners);
        layer_free(&l);
    }
}

// All windows dead; all equal; a NaN pixel; a weight that makes -0 and denormals; pixels of which sums overflow, and
// cancel to NaN; an infinite pixel; a NaN bias.
static void test_special(void **state) {
    (void)state;
    for (size_t i = 0; i < 10; i++)
        for (int kind = 0; kind < 7; kind++) {
            struct layer l = layer_new(7, 10, all_cin[i], 48, kind == 1 ? 1 : 0);
            float *in = (float *)l.k.in, *bias = (float *)l.k.bias;
            const size_t middle = (4 * (l.k.w + 2) + 5) * l.k.in_ld;
            if (kind == 0)
                for (size_t co = 0; co < 48; co++) bias[co] = -1e6f;
            if (kind == 1) memset((float *)(l.k.taps ? l.k.taps : l.k.panels), 0, l.weights * sizeof *in);
            if (kind == 1 && l.k.taps) set_winograd(&l.k);
            if (kind == 2) in[middle] = NAN;
            if (kind == 3)
                for (size_t j = 0; j < l.pixels; j++) in[j] *= 1e-38f;
            if (kind == 4)
                for (size_t j = 0; j < l.pixels; j++) in[j] *= 3e38f;
            if (kind == 5) in[middle] = INFINITY;
            if (kind == 6) bias[20] = NAN;
            check_layer(&l);
            layer_free(&l);
        }
}

KT_MAIN(cmocka_unit_test(test_sizes), cmocka_unit_test(test_large), cmocka_unit_test(test_exact),
        cmocka_unit_test(test_samples), cmocka_unit_test(test_special))
