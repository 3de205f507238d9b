// SPDX-License-Identifier: MIT
// The weights from which a training starts (--init).
#ifndef SHK_CLI_INITIAL_H
#define SHK_CLI_INITIAL_H

#include "cli/options.h"

// A file, and what it was used for.
struct initial {
    struct shk_weights *weights; // NULL: the weights are drawn
    char pixels[200];            // a sentence about the normalisation, or empty
    struct shk_started started;
    bool other_model; // the file says that its weights are of another description
};
// Opens the file that the settings name, if they name one; ends the program in one sentence where it is none. A training that
// is new gets the normalisation that the weights expect, as settings of its own, unless another was typed.
struct initial initial_open(struct run_settings *, bool is_new);
void initial_free(struct initial *);
// Sets a model's weights, and notes how.
void initial_apply(struct initial *, struct shk_model *);
void initial_print(const struct initial *, const struct run_settings *, const struct shk_model *);

#endif
