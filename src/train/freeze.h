// SPDX-License-Identifier: MIT
// Parameters that a training leaves as they are.
#ifndef SHK_TRAIN_FREEZE_H
#define SHK_TRAIN_FREEZE_H

#include "train/engine.h"

// Of a new engine for training: the parameters whose names fit one of the patterns (fnmatch's, with commas between) get no
// updates, and no gradient of theirs counts in the norm. False where a pattern fits none, or none is left.
bool shk_engine_freeze(struct shk_engine *, const char *patterns, struct shk_error *);

#endif
