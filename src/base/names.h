// SPDX-License-Identifier: MIT
// A list of names: classes, files of a folder.
#ifndef SHK_BASE_NAMES_H
#define SHK_BASE_NAMES_H

#include "base/error.h"
#include <stddef.h>

struct shk_names {
    size_t count, room;
    char **names;
};

// Adds a copy.
bool shk_names_add(struct shk_names *, const char *name, struct shk_error *);
bool shk_names_copy(struct shk_names *to, const struct shk_names *from, struct shk_error *);
bool shk_names_equal(const struct shk_names *, const struct shk_names *);
// The place of a name; count: it is not there.
size_t shk_names_find(const struct shk_names *, const char *name);
// What a folder holds, hidden or not, sorted by bytes.
bool shk_names_of_folder(const char *path, struct shk_names *, struct shk_error *);
void shk_names_free(struct shk_names *);

#endif
