// SPDX-License-Identifier: MIT
// Holds images and labels in memory; the workers of a step fetch each image where they need it.
#ifndef SHK_DATA_DATASET_H
#define SHK_DATA_DATASET_H

#include "base/error.h"
#include "base/names.h"
#include <shikaku/shikaku.h>

// A block of memory with pixels, which several data sets may share.
struct shk_pixels {
    size_t users;
    void *start;
    size_t mapped; // bytes of a file that are mapped there; 0: it is from shk_alloc
};

// Pixels are held as bytes or as floats, [samples][height][width][channels], or made when they are needed.
struct shk_dataset {
    size_t n;
    struct shk_shape shape;
    struct shk_pixels *pixels;    // NULL: none are held
    uint8_t *bytes;               // in there
    float *images;                // or these
    uint32_t *places;             // which of the images there each sample is; NULL: in order
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
    const size_t pixels = shk_dataset_pixels_of(d), place = d->places ? d->places[sample] : sample;
    *bytes = d->bytes ? pixels : d->images ? pixels * sizeof(float) : 0;
    return d->bytes ? (const void *)(d->bytes + place * pixels) : d->images ? d->images + place * pixels : NULL;
}

// Of floats alone, as they are held.
static inline const float *shk_dataset_image(const struct shk_dataset *d, size_t sample) {
    size_t bytes;
    return shk_dataset_stored(d, sample, &bytes);
}

// Zeroed images and labels of a checked shape, held as floats or as bytes; a byte b is the pixel b/255.
struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *, struct shk_error *);
struct shk_dataset *shk_dataset_new_bytes(size_t n, const struct shk_shape *, struct shk_error *);
// The same over images that lie in `pixels`, of which the data set becomes a user.
struct shk_dataset *shk_dataset_over(struct shk_pixels *pixels, void *images, bool bytes, size_t n,
                                     const struct shk_shape *, struct shk_error *);
// Of a block from shk_alloc, or of a mapping of so many bytes; the caller is its user. NULL: no memory, and the block is freed.
struct shk_pixels *shk_pixels_new(void *start, size_t mapped, struct shk_error *);
// One user less; the last one frees it.
void shk_pixels_leave(struct shk_pixels *);
// What the images of so many samples take, for checked sizes; false: they are not supported, or more than can be addressed.
bool shk_dataset_bytes(size_t n, const struct shk_shape *, bool bytes, size_t *size, struct shk_error *);
// Copies the names of all classes.
bool shk_dataset_set_names(struct shk_dataset *, const struct shk_names *, struct shk_error *);
// A data set of the samples whose place in d is given, in that order; it shares the pixels of d. Before d is normalised.
struct shk_dataset *shk_dataset_pick(const struct shk_dataset *d, const uint32_t *places, size_t n, struct shk_error *);

// order[0..n-1] = a permutation of 0..n-1 (Fisher-Yates), a function of seed and epoch alone.
void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch);

#endif
