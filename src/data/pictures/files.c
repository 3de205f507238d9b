// SPDX-License-Identifier: MIT
// Grows and frees lists of files.
#include "data/pictures/files.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 10000000, FIRST_ROOM = 256 };

static bool make_room(struct shk_file_list *l, struct shk_error *err) {
    if (l->count < l->room) return true;
    const size_t room = l->room ? 2 * l->room : FIRST_ROOM;
    if (l->count >= MOST_FILES)
        return shk_fail(err, SHK_BAD_INPUT, "more than %d pictures are not supported", MOST_FILES);
    struct shk_listed_file *files = realloc(l->files, room * sizeof *files);
    if (!files) return shk_fail(err, SHK_FAILED, "out of memory for a list of %zu files", room);
    l->files = files;
    l->room = room;
    return true;
}

bool shk_file_list_add(struct shk_file_list *l, const char *path, size_t name, size_t label, enum shk_part part,
                       struct shk_error *err) {
    if (!make_room(l, err)) return false;
    char *copy = strdup(path);
    if (!copy) return shk_fail(err, SHK_FAILED, "out of memory for the name of a file");
    l->files[l->count++] = (struct shk_listed_file){copy, name, (uint32_t)label, part};
    return true;
}

void shk_file_list_free(struct shk_file_list *l) {
    for (size_t i = 0; i < l->count; i++) free(l->files[i].path);
    free(l->files);
    shk_names_free(&l->classes);
    *l = (struct shk_file_list){0};
}

// ---- Orders ----

static int by_place(const void *a, const void *b) {
    const struct shk_listed_file *x = a, *y = b;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return strcmp(x->path + x->name, y->path + y->name);
}

void shk_file_list_sort(struct shk_file_list *l) {
    if (l->count) qsort(l->files, l->count, sizeof *l->files, by_place);
}

static bool all_numbers(const struct shk_names *n) {
    for (size_t i = 0; i < n->count; i++)
        if (n->names[i][strspn(n->names[i], "0123456789")]) return false;
    return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// Of two with the same value, as 1 and 01, the bytes decide.
static int by_value(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    const char *digits_x = x + strspn(x, "0"), *digits_y = y + strspn(y, "0");
    const size_t length_x = strlen(digits_x), length_y = strlen(digits_y);
    if (length_x != length_y) return length_x < length_y ? -1 : 1;
    const int order = strcmp(digits_x, digits_y);
    return order ? order : strcmp(x, y);
}

void shk_sort_classes(struct shk_names *n) {
    if (n->count) qsort(n->names, n->count, sizeof *n->names, all_numbers(n) ? by_value : by_bytes);
}
