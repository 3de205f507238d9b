// SPDX-License-Identifier: MIT
// Holds images and labels in memory; the workers of a step fetch each image where they need it.
#ifndef SHK_DATA_DATASET_H
#define SHK_DATA_DATASET_H

#include "base/error.h"
#include <shikaku/shikaku.h>

// Pixels are held as bytes or as floats, [n][height][width][channels].
struct shk_dataset {
    size_t n;
    struct shk_shape shape;
    uint8_t *bytes;
    float *images;
    uint32_t *labels;
    float *of_byte; // [channels][256]: what a byte is as a pixel
    // The pixels of a sample, [height][width][channels]: in the data set's own memory or, where they must first be made, in
    // `room`, which is the calling worker's own.
    const float *(*fetch)(const struct shk_dataset *, size_t sample, float *room);
    size_t room_floats; // 0: none is needed, and room may be NULL
};

static inline const float *shk_dataset_fetch(const struct shk_dataset *d, size_t sample, float *room) {
    return d->fetch(d, sample, room);
}

// What is held of a sample, to be read ahead.
static inline const void *shk_dataset_stored(const struct shk_dataset *d, size_t sample, size_t *bytes) {
    const size_t pixels = d->shape.height * d->shape.width * d->shape.channels;
    *bytes = d->bytes ? pixels : pixels * sizeof(float);
    return d->bytes ? (const void *)(d->bytes + sample * pixels) : d->images + sample * pixels;
}

// Zeroed images and labels of a checked shape, held as floats or as bytes; a byte b is the pixel b/255.
struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *, struct shk_error *);
struct shk_dataset *shk_dataset_new_bytes(size_t n, const struct shk_shape *, struct shk_error *);

enum { SHK_MOST_CHANNELS = 4 };
// Of each channel over all pixels, 0 to 1 where they are bytes.
struct shk_normalisation {
    float mean[SHK_MOST_CHANNELS], deviation[SHK_MOST_CHANNELS];
};
// The mean and the deviation (of the population, at least 1e-6). Of bytes from whole sums, of floats in the order of samples.
struct shk_normalisation shk_dataset_statistics(const struct shk_dataset *);
// Once: from now on pixels are (x - mean) / deviation.
void shk_dataset_normalise(struct shk_dataset *, const struct shk_normalisation *);

// order[0..n-1] = a permutation of 0..n-1 (Fisher-Yates), a function of seed and epoch alone.
void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
