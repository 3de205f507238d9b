// SPDX-License-Identifier: MIT
// Decodes all pictures of a list, on all workers, to bytes of one size.
#ifndef SHK_DATA_PICTURES_LOAD_H
#define SHK_DATA_PICTURES_LOAD_H

#include "data/pictures/files.h"
#include "data/pictures/fit.h"
#include "data/source.h"

// Makes the parts that the list has. Where the request leaves it open, the size is the pictures' own if all are alike and of at
// most 64 pixels a side, else 32 x 32; and the channels are 1 where every picture of training is grey, else 3.
// Says what the list leaves out, what becomes of pictures of other sizes, and which files are bad: these are left out with
// skip_bad, and an error without it. Samples have the order of the list.
bool shk_pictures_load(const struct shk_request *, const struct shk_file_list *, struct shk_data *, struct shk_error *);
// Decodes them all: to[list->count][height][width][channels]; why[i], to be freed, says why a file cannot be, and is else NULL.
bool shk_pictures_decode(const struct shk_file_list *, const struct shk_fitting *, const struct shk_team *, uint8_t *to,
                         char **why, struct shk_error *);

#endif
