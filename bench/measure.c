// SPDX-License-Identifier: MIT
#include "measure.h"

#include "base/clock.h"
#include <stdlib.h>

double now_seconds(void) { return shk_seconds(); }

double fma_peak(const struct shk_kernels *k) {
    enum { ROUNDS = 8192 };
    double seconds = 0, flops = 0;
    for (int i = 0; i < 2;
         i++) { // the first: into the caches, and the core up to the clock that these instructions run at
        _Alignas(64) float vector[16] = {0.5f};
        struct shk_fma_peak burst = {ROUNDS, vector, &flops};
        double start = shk_seconds();
        k->fma_peak(&burst);
        seconds = shk_seconds() - start;
    }
    return flops / seconds * 1e-9;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}
