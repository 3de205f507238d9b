// SPDX-License-Identifier: MIT
// What safetensors of other tools have that ours have not: other kinds of numbers, names with prefixes, no word about the model.
#ifndef SHK_FORMATS_FOREIGN_H
#define SHK_FORMATS_FOREIGN_H

#include "formats/safetensors.h"
#include "nn/model.h"

// Of a file whose tensors have been checked against its data: their numbers as f32, and names without prefixes.
bool shk_st_take_over(struct shk_st *, const unsigned char *data, struct shk_error *);
// The preset and image size whose tensors these are: names and shapes, all of them and no others.
struct shk_model *shk_st_guess(const struct shk_st *, size_t size, struct shk_error *);
// What a description becomes for these tensors; where some do not fit, the caller finds out which. Size: height and width of an
// image; 0: not known.
struct shk_model *shk_st_fit(const struct shk_st *, const char *description, size_t size, struct shk_error *);

#endif
