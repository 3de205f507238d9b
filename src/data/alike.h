// SPDX-License-Identifier: MIT
// Finds images that show the same picture though their pixels differ, since it was encoded again.
#ifndef SHK_DATA_ALIKE_H
#define SHK_DATA_ALIKE_H

#include "base/error.h"
#include <shikaku/data.h>

enum { SHK_AREA_ROWS = 8, SHK_AREA_COLUMNS = 9, SHK_AREAS = SHK_AREA_ROWS * SHK_AREA_COLUMNS };

// What is left of an image where it is made small: the mean grey of 8 x 9 areas.
struct shk_signature {
    uint64_t hash;           // a bit for each area and the one at its right: that is clearly brighter
    float contrast;          // mean distance of the areas from the mean of all; 0: there is none
    int16_t area[SHK_AREAS]; // (grey - mean) / contrast, in 1/64
};
struct shk_signature shk_signature_of(const float *image, const struct shk_shape *);

// For each of the images `which` (rising, of those with contrast): if one before it is alike, first[it] becomes that one. Those
// with close signatures are shown to `confirm`, which looks at all pixels. At most so many comparisons for each of them:
enum { SHK_ALIKE_ROTATIONS = 8, SHK_ALIKE_NEIGHBOURS = 24 };
bool shk_find_alike(const struct shk_signature *, const uint32_t *which, size_t n,
                    bool (*confirm)(void *user, size_t a, size_t b), void *user, uint32_t *first, struct shk_error *);

#endif
