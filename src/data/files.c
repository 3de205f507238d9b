// SPDX-License-Identifier: MIT
// Grows and frees lists of files.
#include "data/files.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 10000000, FIRST_ROOM = 256 };

static bool make_room(struct shk_file_list *l, struct shk_error *err) {
    if (l->count < l->room) return true;
    const size_t room = l->room ? 2 * l->room : FIRST_ROOM;
    if (l->count >= MOST_FILES) return shk_fail(err, SHK_BAD_INPUT, "more than %d pictures are not supported", MOST_FILES);
    struct shk_listed_file *files = realloc(l->files, room * sizeof *files);
    if (!files) return shk_fail(err, SHK_FAILED, "out of memory for a list of %zu files", room);
    l->files = files;
    l->room = room;
    return true;
}

bool shk_file_list_add(struct shk_file_list *l, const char *path, size_t label, enum shk_part part,
                       struct shk_error *err) {
    if (!make_room(l, err)) return false;
    char *copy = strdup(path);
    if (!copy) return shk_fail(err, SHK_FAILED, "out of memory for the name of a file");
    l->files[l->count++] = (struct shk_listed_file){copy, (uint32_t)label, part};
    return true;
}

void shk_file_list_free(struct shk_file_list *l) {
    for (size_t i = 0; i < l->count; i++) free(l->files[i].path);
    for (size_t i = 0; i < l->class_count; i++) free(l->classes[i]);
    free(l->files);
    free(l->classes);
    *l = (struct shk_file_list){0};
}

int shk_compare_classes(const char *a, const char *b, bool numbers) {
    if (numbers) {
        const size_t digits_a = strlen(a += strspn(a, "0")), digits_b = strlen(b += strspn(b, "0"));
        if (digits_a != digits_b) return digits_a < digits_b ? -1 : 1;
    }
    return strcmp(a, b);
}
