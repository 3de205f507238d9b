// SPDX-License-Identifier: MIT
#ifndef SHK_DATA_DATASET_H
#define SHK_DATA_DATASET_H

#include "base/error.h"
#include <shikaku/shikaku.h>

struct shk_dataset {
    size_t n;
    struct shk_shape shape;
    float *images; // [n][height][width][channels]
    uint32_t *labels;
};

// Zeroed images and labels of a checked shape.
struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *, struct shk_error *);

// order[0..n-1] = a permutation of 0..n-1 (Fisher-Yates), a function of seed and epoch alone.
void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
