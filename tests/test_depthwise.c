// SPDX-License-Identifier: MIT
// These tests hold depthwise convolution and its gradients against plain loops in the order of the contract, to the bit.
#include "kernel_test.h"

struct shape {
    struct shk_depthwise a;
    size_t map, out, weights; // floats
};

static struct shape random_shape(void) {
    static const size_t kernels[] = {1, 2, 3, 3, 4, 5, 5, 7, 7};
    struct shk_depthwise a = {.c = 16 * (1 + kt_below(3)), .kernel = kernels[kt_below(9)], .stride = 1 + kt_below(3)};
    a.pad = kt_below(a.kernel);
    const size_t least = a.kernel > 2 * a.pad ? a.kernel - 2 * a.pad : 1;
    a.h = least + kt_below(14);
    a.w = least + kt_below(24);
    a.out_h = (a.h + 2 * a.pad - a.kernel) / a.stride + 1;
    a.out_w = (a.w + 2 * a.pad - a.kernel) / a.stride + 1;
    return (struct shape){a, a.h * a.w * a.c, a.out_h * a.out_w * a.c, a.kernel * a.kernel * a.c};
}

// The place in the map of what tap t of output i sees; false: nothing.
static bool sees(const struct shk_depthwise *a, size_t i, size_t t, size_t *place) {
    const size_t y = i / a->c / a->out_w * a->stride + t / a->kernel,
                 x = i / a->c % a->out_w * a->stride + t % a->kernel;
    if (y < a->pad || x < a->pad || y - a->pad >= a->h || x - a->pad >= a->w) return false;
    *place = ((y - a->pad) * a->w + x - a->pad) * a->c + i % a->c;
    return true;
}

static size_t weight_at(const struct shk_depthwise *a, size_t i, size_t t) {
    return (i % a->c / 16 * a->kernel * a->kernel + t) * 16 + i % 16;
}

static void forward(void **state) {
    (void)state;
    for (int trial = 0; trial < 150; trial++) {
        struct shape s = random_shape();
        struct shk_depthwise *a = &s.a;
        float *in = kt_random(s.map, -1, 1), *weights = kt_random(s.weights, -1, 1), *bias = kt_random(a->c, -1, 1);
        float *want = kt_floats(s.out);
        a->in = in;
        a->weights = weights;
        a->bias = kt_below(2) ? bias : NULL;
        a->relu = kt_below(2);
        for (size_t i = 0; i < s.out; i++) {
            float sum = a->bias ? bias[i % a->c] : 0;
            for (size_t t = 0, at; t < a->kernel * a->kernel; t++)
                if (sees(a, i, t, &at)) sum = fmaf(in[at], weights[weight_at(a, i, t)], sum);
            want[i] = a->relu && !(sum > 0) ? fmaxf(sum, 0) : sum;
        }
        KT_FOR_ISAS(kernels) {
            a->out = kt_floats(s.out);
            kernels->depthwise_forward(a);
            for (size_t i = 0; i < s.out; i++) a->out[i] += 0.0f; // a zero's sign
            kt_same_bits("depthwise_forward", kernels->isa, a->out, want, s.out, a->c);
            kt_free(a->out);
        }
        kt_free(in);
        kt_free(weights);
        kt_free(bias);
        kt_free(want);
    }
}

static void input_gradient(void **state) {
    (void)state;
    for (int trial = 0; trial < 150; trial++) {
        struct shape s = random_shape();
        struct shk_depthwise *a = &s.a;
        float *dout = kt_random(s.out, -1, 1), *weights = kt_random(s.weights, -1, 1);
        float *before = kt_random(s.map, -1, 1), *want = kt_copy(before, s.map);
        a->dout = dout;
        a->weights = weights;
        a->accumulate = kt_below(2);
        if (!a->accumulate) memset(want, 0, s.map * sizeof *want);
        for (size_t i = 0; i < s.out; i++)
            for (size_t t = 0, at; t < a->kernel * a->kernel; t++)
                if (sees(a, i, t, &at)) want[at] = fmaf(dout[i], weights[weight_at(a, i, t)], want[at]);
        KT_FOR_ISAS(kernels) {
            a->din = kt_copy(before, s.map);
            kernels->depthwise_dgrad(a);
            kt_same_bits("depthwise_dgrad", kernels->isa, a->din, want, s.map, a->c);
            kt_free(a->din);
        }
        kt_free(dout);
        kt_free(weights);
        kt_free(before);
        kt_free(want);
    }
}

static void weight_gradient(void **state) {
    (void)state;
    for (int trial = 0; trial < 150; trial++) {
        struct shape s = random_shape();
        struct shk_depthwise *a = &s.a;
        float *in = kt_random(s.map, -1, 1), *dout = kt_random(s.out, -1, 1);
        float *before = kt_random(s.weights, -1, 1), *want = kt_copy(before, s.weights);
        a->in = in;
        a->dout = dout;
        for (size_t i = 0; i < s.out; i++)
            for (size_t t = 0, at; t < a->kernel * a->kernel; t++)
                if (sees(a, i, t, &at)) want[weight_at(a, i, t)] = fmaf(in[at], dout[i], want[weight_at(a, i, t)]);
        KT_FOR_ISAS(kernels) {
            a->dweights = kt_copy(before, s.weights);
            kernels->depthwise_wgrad(a);
            kt_same_bits("depthwise_wgrad", kernels->isa, a->dweights, want, s.weights, 16);
            kt_free(a->dweights);
        }
        kt_free(in);
        kt_free(dout);
        kt_free(before);
        kt_free(want);
    }
}

KT_MAIN(cmocka_unit_test(forward), cmocka_unit_test(input_gradient), cmocka_unit_test(weight_gradient))
