// SPDX-License-Identifier: MIT
// Holds images and labels in memory; the workers of a step fetch each image where they need it.
#ifndef SHK_DATA_DATASET_H
#define SHK_DATA_DATASET_H

#include "base/error.h"
#include <shikaku/shikaku.h>

struct shk_dataset {
    size_t n;
    struct shk_shape shape;
    float *images; // [n][height][width][channels]
    uint32_t *labels;
    // The pixels of a sample, [height][width][channels]: in the data set's own memory or, where they must first be made, in
    // `room`, which is the calling worker's own.
    const float *(*fetch)(const struct shk_dataset *, size_t sample, float *room);
    size_t room_floats; // 0: none is needed, and room may be NULL
};

static inline const float *shk_dataset_fetch(const struct shk_dataset *d, size_t sample, float *room) {
    return d->fetch(d, sample, room);
}

// Zeroed images and labels of a checked shape.
struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *, struct shk_error *);

// order[0..n-1] = a permutation of 0..n-1 (Fisher-Yates), a function of seed and epoch alone.
void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
