// SPDX-License-Identifier: MIT
// What an evaluation found, as tables and as JSON.
#ifndef SHK_CLI_SCORES_H
#define SHK_CLI_SCORES_H

#include "cli/weights.h"
#include <jansson.h>

void scores_print(const struct shk_evaluation *, const struct shk_model *);
json_t *scores_to_json(const struct shk_evaluation *, const struct weights *); // NULL: no memory

#endif
