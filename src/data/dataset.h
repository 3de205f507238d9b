// SPDX-License-Identifier: MIT
// Holds images and labels in memory; the workers of a step fetch each image where they need it.
#ifndef SHK_DATA_DATASET_H
#define SHK_DATA_DATASET_H

#include "base/error.h"
#include "base/names.h"
#include <shikaku/shikaku.h>

// Pixels are held as bytes or as floats, [n][height][width][channels], or made when they are needed.
struct shk_dataset {
    size_t n;
    struct shk_shape shape;
    uint8_t *bytes;
    float *images;
    struct shk_image_maker maker; // make is NULL: there is none
    float *room;                  // of an image, for the maker
    uint32_t *labels;
    float *of_byte;                    // [channels][256]: what a byte is as a pixel
    struct shk_preprocessing prepared; // how the pixels came to be what they are
    struct shk_names names;            // of the classes; count 0: they have none
    // The pixels of a sample, [height][width][channels]: in the data set's own memory or, where they must first be made, in
    // `room`, which is the calling worker's own.
    const float *(*fetch)(const struct shk_dataset *, size_t sample, float *room);
    size_t room_floats; // 0: none is needed, and room may be NULL
};

static inline const float *shk_dataset_fetch(const struct shk_dataset *d, size_t sample, float *room) {
    return d->fetch(d, sample, room);
}

static inline size_t shk_dataset_pixels_of(const struct shk_dataset *d) {
    return d->shape.height * d->shape.width * d->shape.channels;
}

// What is held of a sample, to be read ahead: NULL and 0 bytes where nothing is.
static inline const void *shk_dataset_stored(const struct shk_dataset *d, size_t sample, size_t *bytes) {
    const size_t pixels = shk_dataset_pixels_of(d);
    *bytes = d->bytes ? pixels : d->images ? pixels * sizeof(float) : 0;
    return d->bytes ? (const void *)(d->bytes + sample * pixels) : d->images ? d->images + sample * pixels : NULL;
}

static inline const float *shk_dataset_image(const struct shk_dataset *d, size_t sample) {
    return d->images + sample * shk_dataset_pixels_of(d); // of floats alone
}

// Zeroed images and labels of a checked shape, held as floats or as bytes; a byte b is the pixel b/255.
struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *, struct shk_error *);
struct shk_dataset *shk_dataset_new_bytes(size_t n, const struct shk_shape *, struct shk_error *);
// Copies the names of all classes.
bool shk_dataset_set_names(struct shk_dataset *, const struct shk_names *, struct shk_error *);
// Takes the samples whose place in d is given, in that order, into a new data set.
struct shk_dataset *shk_dataset_pick(const struct shk_dataset *d, const uint32_t *places, size_t n, struct shk_error *);

// order[0..n-1] = a permutation of 0..n-1 (Fisher-Yates), a function of seed and epoch alone.
void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
