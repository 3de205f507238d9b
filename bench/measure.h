// SPDX-License-Identifier: MIT
// What the benchmarks measure with.
#ifndef SHK_BENCH_MEASURE_H
#define SHK_BENCH_MEASURE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#include <kernels.h>

// GFLOP/s (f32) of shk_peak_burst. Take the median of many, spread over the run that they are compared with.
double fma_peak(const struct shk_kernels *k);

double now_seconds(void); // monotonic
// Of n > 0 values, which it sorts.
double median(double *values, size_t n);

#ifdef __cplusplus
}
#endif

#endif
