// SPDX-License-Identifier: MIT
#ifndef SHK_NN_BUILD_H
#define SHK_NN_BUILD_H

#include "nn/model.h"

// From m->config and m->shape: layers, parameters (places and initial distributions), sizes and nominal FLOPs.
bool shk_build(struct shk_model *m, struct shk_error *err);

#endif
