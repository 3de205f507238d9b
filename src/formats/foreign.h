// SPDX-License-Identifier: MIT
// What safetensors of other tools have that ours have not: other kinds of numbers, names with prefixes, no word about the model.
#ifndef SHK_FORMATS_FOREIGN_H
#define SHK_FORMATS_FOREIGN_H

#include "formats/safetensors.h"
#include "nn/model.h"

// Of a file whose tensors have been checked against its data: their numbers as f32, and names without prefixes.
bool shk_st_take_over(struct shk_st *, const unsigned char *data, struct shk_error *);
// The preset and image size whose tensors these are: names and shapes, all of them and no others.
struct shk_model *shk_st_guess(const struct shk_st *, struct shk_error *);

#endif
