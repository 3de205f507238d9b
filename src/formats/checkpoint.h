// SPDX-License-Identifier: MIT
// A checkpoint is all that a trainer needs to go on.
#ifndef SHK_FORMATS_CHECKPOINT_H
#define SHK_FORMATS_CHECKPOINT_H

#include "base/file.h"
#include "train/trainer.h"

// shk_trainer_load for a file in memory.
bool shk_trainer_from_bytes(struct shk_trainer *, const char *path, const struct shk_bytes *, struct shk_error *);

#endif
