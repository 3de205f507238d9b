// SPDX-License-Identifier: MIT
// These tests hold cross-entropy against a double reference and central differences, and every ISA against C.
#include "kernel_test.h"

enum { MOST_COLS = 256 };

static void widen(const float *x, size_t n, double *out) {
    for (size_t i = 0; i < n; i++) out[i] = (double)x[i];
}

static double row_entropy(const double *z, size_t classes, size_t label) {
    double most = z[0], sum = 0;
    for (size_t c = 1; c < classes; c++) most = fmax(most, z[c]);
    for (size_t c = 0; c < classes; c++) sum += exp(z[c] - most);
    return log(sum) + most - z[label];
}

static void check_entropy(const struct shk_cross_entropy *args, const float *dlogits) {
    const size_t classes = args->classes;
    for (size_t r = 0; r < args->rows; r++) {
        const float *logits = args->logits + r * (size_t)args->row;
        double z[MOST_COLS] = {0}, want[MOST_COLS], most, spread;
        widen(logits, classes, z);
        const double loss = row_entropy(z, classes, args->labels[r]);
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            if (logits[c] > logits[best]) best = c;
        assert_int_equal(args->predicted[r], best);
        spread = 1 + fabs(z[best] - z[args->labels[r]]);
        kt_close("loss", "c", &args->loss[r], &loss, &spread, 1, 0, 1e-6);
        most = 0;
        for (size_t c = 0; c < classes; c++) {
            const double h = 1e-4, here = z[c];
            z[c] = here + h;
            const double up = row_entropy(z, classes, args->labels[r]);
            z[c] = here - h;
            const double down = row_entropy(z, classes, args->labels[r]);
            z[c] = here;
            const double p = exp(-row_entropy(z, classes, c));
            want[c] = (p - (c == args->labels[r])) * (double)args->scale;
            most = fmax(most, fabs(want[c] - (up - down) / (2 * h) * (double)args->scale));
        }
        if (most > 1e-7 * (double)args->scale) fail_msg("reference is off its central differences by %g", most);
        const double size = (double)args->scale;
        for (size_t c = 0; c < classes; c++)
            kt_close("dlogits", "c", dlogits + r * (size_t)args->row + c, want + c, &size, 1, 0, 1e-6);
    }
}

static void entropy_case(size_t rows, size_t classes, float range) {
    const size_t ld = kt_stride(classes), area = rows * ld;
    float *logits = kt_matrix(rows, classes, ld, -range, range);
    uint32_t *labels = kt_bytes(rows * sizeof *labels);
    for (size_t r = 0; r < rows; r++) {
        labels[r] = (uint32_t)kt_below(classes);
        // A tie for the maximum in one row of three: the first column wins.
        if (r % 3 == 0) logits[r * ld + kt_below(classes)] = logits[r * ld + kt_below(classes)] = range + 1;
    }
    float *want[2] = {NULL, NULL};
    uint32_t *want_predicted = NULL;
    struct shk_cross_entropy args = {rows, classes, logits, (ptrdiff_t)ld, labels, 0.125f, NULL, NULL, NULL};
    KT_FOR_ISAS(kernels) {
        float *dlogits = kt_floats(area), *same = kt_copy(logits, area), *loss[3];
        uint32_t *predicted[3];
        for (int k = 0; k < 3; k++) { // on its own, in place, forward only
            struct shk_cross_entropy call = args;
            loss[k] = call.loss = kt_floats_any(rows);
            predicted[k] = call.predicted = kt_bytes(rows * sizeof(uint32_t));
            call.dlogits = k == 0 ? dlogits : k == 1 ? same : NULL;
            if (k == 1) call.logits = same;
            kernels->cross_entropy(&call);
        }
        kt_zero_pads(dlogits, rows, classes, ld);
        kt_same_bits("dlogits in place", kernels->isa, same, dlogits, area, ld);
        kt_free(same);
        for (int k = 1; k < 3; k++) {
            kt_same_bits("loss alone", kernels->isa, loss[k], loss[0], rows, 1);
            assert_memory_equal(predicted[k], predicted[0], rows * sizeof(uint32_t));
            kt_free(loss[k]);
            kt_free(predicted[k]);
        }
        if (want[0]) {
            kt_same_bits("dlogits", kernels->isa, dlogits, want[0], area, ld);
            kt_same_bits("loss", kernels->isa, loss[0], want[1], rows, 1);
            assert_memory_equal(predicted[0], want_predicted, rows * sizeof(uint32_t));
            kt_free(dlogits);
            kt_free(loss[0]);
            kt_free(predicted[0]);
        } else {
            want[0] = dlogits;
            want[1] = loss[0];
            want_predicted = predicted[0];
        }
    }
    args.loss = want[1];
    args.predicted = want_predicted;
    check_entropy(&args, want[0]);
    kt_free(want[0]);
    kt_free(want[1]);
    kt_free(want_predicted);
    kt_free(labels);
    kt_free(logits);
}

static void cross_entropy_is_right(void **state) {
    (void)state;
    for (size_t classes = 1; classes <= 40; classes++) {
        entropy_case(1 + kt_below(35), classes, 3);
        entropy_case(1 + kt_below(35), classes, 200); // most exponentials vanish
    }
    for (size_t rows = 1; rows <= 35; rows++) entropy_case(rows, 9, 3);
    kt_report();
}

// A logit that is not a number must reach the loss, wherever it stands.
static void cross_entropy_passes_nan_on(void **state) {
    (void)state;
    KT_FOR_ISAS(kernels) {
        for (size_t classes = 1; classes <= 40; classes += 3) {
            for (size_t place = 0; place < classes; place++) {
                float *logits = kt_matrix(1, classes, shk_round16(classes), -1, 1), loss = 0;
                logits[place] = place % 2 ? NAN : INFINITY;
                const uint32_t label = (uint32_t)kt_below(classes);
                uint32_t predicted = ~0u;
                const struct shk_cross_entropy args = {
                    1, classes, logits, (ptrdiff_t)shk_round16(classes), &label, 1, logits, &loss, &predicted};
                kernels->cross_entropy(&args);
                assert_true(isnan(loss));
                assert_true(predicted < classes);
                kt_free(logits);
            }
        }
    }
}

KT_MAIN(cmocka_unit_test(cross_entropy_is_right), cmocka_unit_test(cross_entropy_passes_nan_on))
