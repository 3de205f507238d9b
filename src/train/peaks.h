// SPDX-License-Identifier: MIT
// Declares how the peaks of arithmetic and memory are measured.
#ifndef SHK_TRAIN_PEAKS_H
#define SHK_TRAIN_PEAKS_H

#include "base/runtime.h"
#include "base/team.h"
#include <kernels.h>
#include <shikaku/bench.h>

// As shk_peaks_measure, of a part of the runtime's team.
bool shk_peaks_of_team(const struct shk_kernels *, const struct shk_team *, struct shk_peaks *out, struct shk_error *);
// FLOP/s of one burst of some 30 us of FMAs on registers, on the calling thread. Take the median of many, spread over the run
// that they are compared with.
double shk_peak_burst(const struct shk_kernels *);

#endif
