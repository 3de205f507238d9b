// SPDX-License-Identifier: MIT
// A shape is the size of images and the number of classes.
#ifndef SHK_BASE_SHAPE_H
#define SHK_BASE_SHAPE_H

#include "base/error.h"
#include <shikaku/shikaku.h>

// Whether images and classes are within what data sets and models support.
bool shk_shape_check(const struct shk_shape *, struct shk_error *);

#endif
