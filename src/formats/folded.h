// SPDX-License-Identifier: MIT
// A model is folded for those who only predict: batch normalisation behind a convolution or a linear layer becomes part of that
// layer's weight and bias.
#ifndef SHK_FORMATS_FOLDED_H
#define SHK_FORMATS_FOLDED_H

#include "nn/model.h"

// The model as it is written: its graph, its parameters in PyTorch's order, whose numbers are at offset floats in `weights`.
struct shk_model *shk_folded_create(const struct shk_model *, struct shk_error *);
void shk_folded_free(struct shk_model *);

#endif
