// SPDX-License-Identifier: MIT
// Lists of names grow, are compared and freed.
#include "base/names.h"

#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 16 };

static bool out_of_memory(struct shk_error *err) {
    return shk_fail(err, SHK_FAILED, "out of memory for a list of names");
}

bool shk_names_add(struct shk_names *n, const char *name, struct shk_error *err) {
    if (n->count == n->room) {
        const size_t room = n->room ? 2 * n->room : FIRST_ROOM;
        char **names = realloc(n->names, room * sizeof *names);
        if (!names) return out_of_memory(err);
        n->names = names;
        n->room = room;
    }
    char *copy = strdup(name);
    if (!copy) return out_of_memory(err);
    n->names[n->count++] = copy;
    return true;
}

bool shk_names_copy(struct shk_names *to, const struct shk_names *from, struct shk_error *err) {
    *to = (struct shk_names){0};
    for (size_t i = 0; i < from->count; i++) {
        if (shk_names_add(to, from->names[i], err)) continue;
        shk_names_free(to);
        return false;
    }
    return true;
}

bool shk_names_equal(const struct shk_names *a, const struct shk_names *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0) return false;
    return true;
}

size_t shk_names_find(const struct shk_names *n, const char *name) {
    size_t i = 0;
    while (i < n->count && strcmp(n->names[i], name) != 0) i++;
    return i;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool shk_names_of_folder(const char *path, struct shk_names *n, struct shk_error *err) {
    *n = (struct shk_names){0};
    DIR *folder = opendir(path);
    if (!folder) return shk_cannot(path, "read", errno, shk_reading_code(errno), err);
    bool ok = true;
    struct dirent *entry;
    while (ok && (errno = 0, entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = shk_names_add(n, entry->d_name, err);
    if (ok && errno) ok = shk_cannot(path, "read", errno, SHK_FAILED, err);
    closedir(folder);
    if (n->count) qsort(n->names, n->count, sizeof *n->names, by_bytes);
    if (!ok) shk_names_free(n);
    return ok;
}

void shk_names_free(struct shk_names *n) {
    for (size_t i = 0; i < n->count; i++) free(n->names[i]);
    free(n->names);
    *n = (struct shk_names){0};
}
