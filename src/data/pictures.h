// SPDX-License-Identifier: MIT
// Decodes all pictures of a list, on all workers, to bytes of one size.
#ifndef SHK_DATA_PICTURES_H
#define SHK_DATA_PICTURES_H

#include "base/team.h"
#include "data/dataset.h"
#include "data/files.h"
#include "data/fit.h"

// A file that cannot be decoded.
struct shk_bad_picture {
    size_t file; // of the list
    struct shk_error why;
};

struct shk_pictures {
    struct shk_dataset *parts[SHK_PARTS]; // NULL: the list has none of it
    size_t bad_count;
    struct shk_bad_picture *bad;   // in the order of the list
    struct shk_fitting fitting;    // what was asked for, and what was found out
    bool alike;                    // all pictures have that size already
};

// wanted: height, width and channels may be 0. The size is then the pictures' own, where all are alike and of at most 64 pixels
// a side, else 32 x 32; the channels are 1 where every picture of training is grey, else 3.
// Bad pictures are left out; false: there is no good one, or something else failed. shk_pictures_free in either case.
bool shk_pictures_load(const struct shk_file_list *, const struct shk_fitting *wanted, const struct shk_team *,
                       struct shk_pictures *, struct shk_error *);
void shk_pictures_free(struct shk_pictures *); // but for the parts

#endif
