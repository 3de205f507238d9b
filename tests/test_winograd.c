// SPDX-License-Identifier: MIT
// Winograd's convolution of maps without a border: forward, input and weight gradient against direct sums in double, and the same
// bits on each instruction set.
#include "kernel_test.h"

// A random problem: maps of some samples, and transformed weights both ways.
struct problem {
    struct shk_winograd k;
    float *taps, *forward, *back, *in, *dout;
    size_t pixels;
};

static struct problem problem_of(size_t h, size_t w, size_t cin, size_t cout, size_t samples) {
    struct problem p = {.pixels = h * w};
    p.k = (struct shk_winograd){.h = h, .w = w, .cin = cin, .cout = cout, .samples = samples};
    p.k.in_sample = p.pixels * cin + 16 * kt_below(3);
    p.k.out_sample = p.pixels * cout + 16 * kt_below(3);
    p.in = kt_matrix(samples, p.pixels * cin, p.k.in_sample, -1, 1);
    p.dout = kt_matrix(samples, p.pixels * cout, p.k.out_sample, -1, 1);
    p.taps = kt_random(cout * 9 * cin, -1, 1);
    const size_t packed = SHK_WINOGRAD_POINTS * cin * cout;
    p.forward = kt_floats(packed);
    p.back = kt_floats(packed);
    return p;
}

static void transform(struct problem *p, const struct shk_kernels *kernels) {
    const size_t cin = p->k.cin, cout = p->k.cout;
    for (size_t first = 0; first < cout; first += 16) {
        const float *taps = p->taps + first * 9 * cin;
        kernels->conv3x3_weights(
            &(struct shk_conv3x3_weights){cin, cin, taps, p->forward + first * SHK_WINOGRAD_POINTS * cin});
        kernels->winograd_flipped(&(struct shk_winograd_flipped){cin, cout, first, taps, p->back});
    }
}

static void free_problem(struct problem *p) {
    float *const all[] = {p->taps, p->forward, p->back, p->in, p->dout};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
}

static double weight_of(const struct problem *p, size_t co, size_t tap, size_t ci) {
    return (double)p->taps[(co * 9 + tap) * p->k.cin + ci];
}

// A pixel of a map of ld channels, one up and one left of (y, x); 0 beside it.
static double pixel_of(const struct problem *p, const float *map, size_t ld, size_t y, size_t x, size_t c) {
    if (y < 1 || x < 1 || y > p->k.h || x > p->k.w) return 0;
    return (double)map[((y - 1) * p->k.w + x - 1) * ld + c];
}

// An output of the convolution without its bias, or an input gradient; or the sum of magnitudes.
static double direct(const struct problem *p, size_t sample, bool back, size_t y, size_t x, size_t c, bool magnitude) {
    const size_t ld = back ? p->k.cout : p->k.cin;
    const float *map = back ? p->dout + sample * p->k.out_sample : p->in + sample * p->k.in_sample;
    double sum = 0;
    for (size_t t = 0; t < 9; t++)
        for (size_t i = 0; i < ld; i++) {
            const double w = back ? weight_of(p, i, 8 - t, c) : weight_of(p, c, t, i);
            const double product = pixel_of(p, map, ld, y + t / 3, x + t % 3, i) * w;
            sum += magnitude ? fabs(product) : product;
        }
    return sum;
}

static double direct_weight(const struct problem *p, size_t co, size_t tap, size_t ci, bool magnitude) {
    double sum = 0;
    for (size_t i = 0; i < p->k.samples * p->pixels; i++) {
        const size_t sample = i / p->pixels, y = i % p->pixels / p->k.w, x = i % p->k.w;
        const double product = pixel_of(p, p->in + sample * p->k.in_sample, p->k.cin, y + tap / 3, x + tap % 3, ci) *
                               (double)p->dout[sample * p->k.out_sample + (i % p->pixels) * p->k.cout + co];
        sum += magnitude ? fabs(product) : product;
    }
    return sum;
}

// What the transforms lose: errors relative to the sum of magnitudes, of which sums of like tiles are larger.
static const double tolerance = 4e-6;

static const size_t shapes[][5] = {{1, 1, 16, 16, 1},   {4, 4, 16, 32, 2},   {5, 3, 32, 16, 3},  {8, 8, 64, 64, 5},
                                   {9, 7, 16, 48, 2},   {16, 16, 32, 32, 2}, {3, 17, 48, 16, 1}, {32, 32, 16, 16, 1},
                                   {40, 12, 16, 16, 2}, {5, 6, 144, 16, 1},  {6, 18, 16, 80, 1}};

static void for_each_shape(void (*check)(struct problem *)) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t *s = shapes[i];
        struct problem p = problem_of(s[0], s[1], s[2], s[3], s[4]);
        check(&p);
        free_problem(&p);
    }
    kt_report();
}

// How an output ends.
enum ending { ENDS_IN_RELU, ENDS_ALONE, ENDS_ADDED, ENDS_NORMALISED, ENDINGS };
struct end {
    float *bias, *before, *mean, *scale, *shift; // or NULL
    bool relu;
};

static double ended(const struct end *e, double z, size_t at, size_t c) {
    if (e->bias) z += (double)e->bias[c];
    if (e->mean) z = (z - (double)e->mean[c]) * (double)e->scale[c] + (double)e->shift[c];
    if (e->before) z += (double)e->before[at];
    return e->relu ? fmax(z, 0) : z;
}

// What a map of outputs or input gradients should be, and the largest magnitude of a sample for all of it.
static void want_map(const struct problem *p, bool back, const struct end *e, double *want, double *magnitude) {
    const size_t ld = back ? p->k.cin : p->k.cout, stride = back ? p->k.in_sample : p->k.out_sample;
    for (size_t sample = 0; sample < p->k.samples; sample++) {
        double most = 0;
        for (size_t i = 0; i < p->pixels * ld; i++) {
            const size_t y = i / ld / p->k.w, x = i / ld % p->k.w, c = i % ld, at = sample * stride + i;
            want[at] = ended(e, direct(p, sample, back, y, x, c, false), at, c);
            most = fmax(most, direct(p, sample, back, y, x, c, true));
        }
        for (size_t i = 0; i < p->pixels * ld; i++) magnitude[sample * stride + i] = most;
    }
}

static struct end end_of(enum ending ending, size_t channels, float *before) {
    const bool norm = ending == ENDS_NORMALISED;
    return (struct end){.bias = ending == ENDS_IN_RELU ? kt_random(channels, -1, 1) : NULL,
                        .before = ending == ENDS_ADDED ? before : NULL,
                        .mean = norm ? kt_random(channels, -1, 1) : NULL,
                        .scale = norm ? kt_random(channels, -1, 1) : NULL,
                        .shift = norm ? kt_random(channels, -1, 1) : NULL,
                        .relu = ending == ENDS_IN_RELU || norm};
}

static void check_map(struct problem *p, bool back, enum ending ending) {
    struct shk_winograd k = p->k;
    const size_t n = k.samples * (back ? k.in_sample : k.out_sample), ld = back ? k.cin : k.cout;
    float *before = kt_matrix(k.samples, p->pixels * ld, n / k.samples, -1, 1), *expected = NULL;
    const struct end end = end_of(ending, ld, before);
    double *want = calloc(n, sizeof *want), *magnitude = malloc(n * sizeof *magnitude);
    for (size_t i = 0; i < n; i++) magnitude[i] = 1;
    want_map(p, back, &end, want, magnitude);
    k.bias = end.bias;
    k.mean = end.mean;
    k.scale = end.scale;
    k.shift = end.shift;
    k.relu = end.relu;
    k.accumulate = end.before;
    k.cin = back ? p->k.cout : p->k.cin;
    k.cout = ld;
    k.in = back ? p->dout : p->in;
    k.in_sample = back ? p->k.out_sample : p->k.in_sample;
    k.out_sample = n / k.samples;
    k.scratch = kt_bytes(shk_winograd_scratch(k.cin));
    KT_FOR_ISAS(kernels) {
        transform(p, kernels);
        k.weights = back ? p->back : p->forward;
        k.out = kt_copy(before, n);
        kernels->winograd(&k);
        if (!expected) expected = kt_copy(k.out, n);
        kt_same_bits(back ? "input gradient" : "forward", kernels->isa, k.out, expected, n, ld);
        for (size_t sample = 0; sample < k.samples; sample++) {
            const size_t at = sample * k.out_sample;
            kt_close(back ? "input gradient" : "forward", kernels->isa, k.out + at, want + at, magnitude + at,
                     p->pixels * ld, ld, tolerance);
        }
        kt_free(k.out);
    }
    float *const all[] = {end.bias, end.mean, end.scale, end.shift, before, expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
    kt_free(k.scratch);
    free(want);
    free(magnitude);
}

static void check_forward(struct problem *p) {
    for (int end = 0; end < ENDINGS; end++) check_map(p, false, (enum ending)end);
}
static void check_input_gradient(struct problem *p) {
    check_map(p, true, ENDS_ALONE);
    check_map(p, true, ENDS_ADDED);
}

static void forward_is_close(void **state) {
    (void)state;
    for_each_shape(check_forward);
}
static void input_gradient_is_close(void **state) {
    (void)state;
    for_each_shape(check_input_gradient);
}

// The gradients as channels of a wider map, in runs that go on from sample to sample.
static float *join_samples(const struct problem *p, struct shk_winograd *k) {
    k->joined = true;
    k->run = 5;
    k->dout_ld = k->cout + 16;
    k->out_sample = p->pixels * k->dout_ld;
    float *wide = kt_random(k->samples * k->out_sample, -1, 1);
    for (size_t i = 0; i < k->samples; i++)
        for (size_t r = 0; r < p->pixels; r++)
            memcpy(wide + i * k->out_sample + r * k->dout_ld, p->dout + i * p->k.out_sample + r * k->cout,
                   k->cout * sizeof *wide);
    return wide;
}

// Of taps that are written, added to, or go to a total.
static void check_weight_gradient_into(struct problem *p, bool fresh, bool with_total, bool joined) {
    struct shk_winograd k = p->k;
    const size_t n = k.cout * 9 * k.cin;
    float *before = kt_random(n, -1, 1), *total = kt_random(n, -1, 1), *expected = NULL;
    double *want = calloc(n, sizeof *want), *magnitude = calloc(n, sizeof *magnitude);
    for (size_t i = 0; i < n; i++) {
        const size_t co = i / k.cin / 9, tap = i / k.cin % 9, ci = i % k.cin;
        want[i] = direct_weight(p, co, tap, ci, false) + (fresh ? 0 : (double)before[i]) +
                  (with_total ? (double)total[i] : 0);
        magnitude[i] = 2 + direct_weight(p, co, 4, ci, true); // the tap that sees all
    }
    k.in = p->in;
    k.run = shk_winograd_run(k.cin, k.cout);
    k.dout_ld = k.cout;
    float *const wide = joined ? join_samples(p, &k) : NULL;
    k.dout = joined ? wide : p->dout;
    k.fresh = fresh;
    k.scratch = kt_bytes(shk_winograd_wgrad_scratch(k.cin, k.cout, k.run));
    KT_FOR_ISAS(kernels) {
        k.dweight = kt_copy(before, n);
        if (fresh) kt_repoison(k.dweight, n);
        k.total = with_total ? kt_copy(total, n) : NULL;
        kernels->winograd_wgrad(&k);
        const float *got = with_total ? k.total : k.dweight;
        if (!expected) expected = kt_copy(got, n);
        kt_same_bits("weight gradient", kernels->isa, got, expected, n, k.cin);
        kt_close("weight gradient", kernels->isa, got, want, magnitude, n, k.cin, tolerance);
        kt_free(k.dweight);
        kt_free(k.total);
    }
    kt_free(before);
    kt_free(total);
    kt_free(expected);
    kt_free(wide);
    kt_free(k.scratch);
    free(want);
    free(magnitude);
}

static void check_weight_gradient(struct problem *p) {
    for (int way = 0; way < 8; way++) check_weight_gradient_into(p, way % 2, way / 2 % 2, way / 4);
}

static void weight_gradient_is_close(void **state) {
    (void)state;
    for_each_shape(check_weight_gradient);
}

// Samples one at a time, the first written and the others added, are what they are at once.
static void samples_are_added_in_order(void **state) {
    (void)state;
    struct problem p = problem_of(9, 8, 32, 16, 4);
    const size_t n = p.k.cout * 9 * p.k.cin;
    float *at_once = kt_floats(n), *apart = kt_floats(n);
    p.k.run = shk_winograd_run(p.k.cin, p.k.cout);
    p.k.dout_ld = p.k.cout;
    p.k.scratch = kt_bytes(shk_winograd_wgrad_scratch(p.k.cin, p.k.cout, p.k.run));
    KT_FOR_ISAS(kernels) {
        struct shk_winograd k = p.k;
        k.in = p.in;
        k.dout = p.dout;
        k.dweight = at_once;
        k.fresh = true;
        kernels->winograd_wgrad(&k);
        k.samples = 1;
        k.dweight = apart;
        for (size_t i = 0; i < p.k.samples; i++, k.in += k.in_sample, k.dout += k.out_sample, k.fresh = false)
            kernels->winograd_wgrad(&k);
        kt_same_bits("weight gradient, sample by sample", kernels->isa, apart, at_once, n, p.k.cin);
    }
    kt_free(at_once);
    kt_free(apart);
    kt_free(p.k.scratch);
    free_problem(&p);
}

KT_MAIN(cmocka_unit_test(forward_is_close), cmocka_unit_test(input_gradient_is_close),
        cmocka_unit_test(weight_gradient_is_close), cmocka_unit_test(samples_are_added_in_order))
