// SPDX-License-Identifier: MIT
// Finds the source of a run's data by its name.
#include "data/source.h"

#include "base/error.h"
#include <stddef.h>
#include <string.h>

#define SHK_SOURCE(name) &shk_source_##name,
static const struct shk_source_type *const types[] = {
#include "data/sources.def"
};
#undef SHK_SOURCE

struct shk_dataset *shk_source_open(const struct shk_run_settings *run, enum shk_part part, struct shk_error *err) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i]->name, run->data.source) == 0) return types[i]->open(run, part, err);
    shk_fail(err, SHK_BAD_INPUT, "there is no source of data '%s'", run->data.source);
    return NULL;
}
