// SPDX-License-Identifier: MIT
// Opens the data of a run from one of several sources, each of them a file of this folder and a line of sources.def.
#ifndef SHK_DATA_SOURCE_H
#define SHK_DATA_SOURCE_H

#include "settings/settings.h"

enum shk_part { SHK_PART_TRAIN, SHK_PART_VAL, SHK_PART_TEST, SHK_PARTS };

struct shk_source_type {
    const char *name; // the setting `source`; its settings are the rows of the table that name it
    // The images of a part, ready to be fetched on the workers (data/dataset.h).
    struct shk_dataset *(*open)(const struct shk_run_settings *, enum shk_part, struct shk_error *);
};

// From the source that the settings name.
struct shk_dataset *shk_source_open(const struct shk_run_settings *, enum shk_part, struct shk_error *);

#define SHK_SOURCE(name) extern const struct shk_source_type shk_source_##name;
#include "data/sources.def"
#undef SHK_SOURCE

#endif
