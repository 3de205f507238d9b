// SPDX-License-Identifier: MIT
// Takes a part of the training set away, for choices to be made on it.
#ifndef SHK_DATA_SPLIT_H
#define SHK_DATA_SPLIT_H

#include "data/source.h"

// Of each class the same part becomes val, and at least one sample where there are two: those whose names (or, without names,
// numbers) have the smallest hashes with the seed. Which they are depends on seed and names alone. options->split 0: a tenth,
// where there is neither val nor test; nothing, where there is one of them.
bool shk_data_split(struct shk_data *, const struct shk_data_options *, struct shk_error *);

#endif
