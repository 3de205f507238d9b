// SPDX-License-Identifier: MIT
#include "measure.h"

#include "base/clock.h"
#include "train/peaks.h"
#include <stdlib.h>

double now_seconds(void) { return shk_seconds(); }

double fma_peak(const struct shk_kernels *k) { return shk_peak_burst(k) * 1e-9; }

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}
