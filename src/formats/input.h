// SPDX-License-Identifier: MIT
// How images become a model's input, and what its classes are called, as metadata of its file: fit, background, mean and std
// (a number for each channel), class_names (a JSON array). A model of drawn squares has none of them.
#ifndef SHK_FORMATS_INPUT_H
#define SHK_FORMATS_INPUT_H

#include "formats/safetensors.h"
#include "nn/model.h"

const char *shk_fit_name(enum shk_fit);
char *shk_names_text(const struct shk_names *); // a JSON array, to be freed; NULL: no memory
bool shk_add_input(struct shk_st_out *, const struct shk_model *, struct shk_error *);
// Of a model whose shape is known.
bool shk_read_input(const struct shk_st *, struct shk_model *, struct shk_error *);

#endif
