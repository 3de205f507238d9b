// SPDX-License-Identifier: MIT
// Options of a training are completed and checked here.
#ifndef SHK_TRAIN_SETTINGS_H
#define SHK_TRAIN_SETTINGS_H

#include "nn/model.h"

// Fills *out from the user's options (or NULL), with defaults where they are 0. False where one makes no sense.
bool shk_settings_check(const struct shk_train_options *options, struct shk_train_options *out, struct shk_error *err);
// Whether the data set has the images and classes that the model takes.
bool shk_shapes_agree(const struct shk_model *, const struct shk_dataset *, struct shk_error *err);

#endif
