// SPDX-License-Identifier: MIT
// Building makes a model's graph and parameters from its description.
#ifndef SHK_NN_GRAPH_BUILD_H
#define SHK_NN_GRAPH_BUILD_H

#include "nn/model.h"

// Fills graph, params (dims and initial distributions, which are PyTorch's defaults), parameters and the nominal FLOPs of a
// model whose config and shape are set. False where the description does not fit the shape.
// `net` is the net's text as it was typed, of which places are told.
bool shk_build(struct shk_model *, const char *net, struct shk_error *);

#endif
