// SPDX-License-Identifier: MIT
// What a model means: a naive forward pass in double precision over the layers of model->graph, layer by layer, on
// weights in PyTorch's layout. Nothing is fused, padded or pruned here, and nothing of the plan is asked.
#ifndef REFERENCE_H
#define REFERENCE_H

#include "nn/model.h"

struct reference_batch {
    size_t n;
    const float *const *images;   // [n], each [height][width][channels]
    const uint32_t *labels, *ids; // [n]; ids key dropout
    bool training;                // dropout is drawn
    uint64_t seed;
    uint32_t epoch;
};

// The mean cross-entropy of a model whose last layer that is. weights[i] is the tensor model->params[i] in PyTorch's layout.
// logits [n][classes] and losses [n] are filled unless NULL.
double reference_loss(const struct shk_model *model, double *const *weights, const struct reference_batch *batch,
                      double *logits, double *losses);

#endif
