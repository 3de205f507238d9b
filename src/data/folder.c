// SPDX-License-Identifier: MIT
// Walks a folder of pictures in folders of classes.
#include "data/files.h"
#include "formats/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_DEPTH = 32, MOST_CLASSES = 65536 };

// ---- Names ----

struct names {
    size_t count;
    char **names; // sorted by their bytes
};

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void free_names(struct names *n) {
    for (size_t i = 0; i < n->count; i++) free(n->names[i]);
    free(n->names);
}

static bool hidden(const char *name) {
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0 || strcmp(name, "Thumbs.db") == 0 ||
           strcmp(name, "desktop.ini") == 0;
}

static bool add_name(struct names *n, const char *name) {
    char **names = realloc(n->names, (n->count + 1) * sizeof *names), *copy = strdup(name);
    if (names) n->names = names;
    if (names && copy) {
        names[n->count++] = copy;
        return true;
    }
    free(copy);
    return false;
}

static bool cannot_read(const char *path, int why, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, SHK_BAD_INPUT, "the folder %s cannot be read: %s", shk_shown_path(path, shown), strerror(why));
}

// What a folder holds, but for hidden names, which are counted.
static bool read_names(const char *path, struct names *n, struct shk_left_out *out, struct shk_error *err) {
    *n = (struct names){0};
    DIR *folder = opendir(path);
    if (!folder) return cannot_read(path, errno, err);
    bool ok = true;
    struct dirent *entry;
    while (ok && (errno = 0, entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (hidden(entry->d_name))
            out->hidden++;
        else if (!add_name(n, entry->d_name))
            ok = shk_fail(err, SHK_FAILED, "out of memory for the names in a folder");
    }
    if (ok && errno) ok = cannot_read(path, errno, err);
    closedir(folder);
    qsort(n->names, n->count, sizeof *n->names, by_bytes);
    if (!ok) free_names(n);
    return ok;
}

// ---- One class ----

// A folder, and those that it is in: where a link leads back to one of them, it is a loop.
struct place {
    const struct place *above;
    dev_t device;
    ino_t inode;
    unsigned depth;
};

static bool loops(const struct place *p, const struct stat *s) {
    for (; p; p = p->above)
        if (p->device == s->st_dev && p->inode == s->st_ino) return true;
    return false;
}

struct walk {
    struct shk_file_list *list;
    size_t label;
    enum shk_part part;
    struct shk_error *err;
};

static bool join(char out[4096], const char *folder, const char *name, struct shk_error *err) {
    return snprintf(out, 4096, "%s/%s", folder, name) < 4096 ||
           shk_fail(err, SHK_BAD_INPUT, "the path of %.100s in its folder is longer than 4095 bytes", name);
}

static bool walk_folder(const struct walk *, const char *path, const struct place *above, const struct stat *);

static bool take(const struct walk *w, const char *path, const struct place *above) {
    struct stat s;
    char shown[SHK_SHOWN_PATH];
    if (stat(path, &s) != 0) {
        if (errno == ELOOP) return ++w->list->left_out.loops, true;
        return shk_fail(w->err, SHK_BAD_INPUT, "%s cannot be read: %s", shk_shown_path(path, shown), strerror(errno));
    }
    if (S_ISREG(s.st_mode)) return shk_file_list_add(w->list, path, w->label, w->part, w->err);
    if (S_ISDIR(s.st_mode)) return walk_folder(w, path, above, &s);
    w->list->left_out.others++;
    return true;
}

static bool walk_folder(const struct walk *w, const char *path, const struct place *above, const struct stat *s) {
    const struct place here = {above, s->st_dev, s->st_ino, above ? above->depth + 1 : 0};
    char shown[SHK_SHOWN_PATH], within[4096];
    struct names n;
    if (loops(above, s)) return ++w->list->left_out.loops, true;
    if (here.depth > MOST_DEPTH)
        return shk_fail(w->err, SHK_BAD_INPUT, "%s: folders of pictures are read %d deep", shk_shown_path(path, shown),
                        MOST_DEPTH);
    if (!read_names(path, &n, &w->list->left_out, w->err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n.count; i++)
        ok = join(within, path, n.names[i], w->err) && take(w, within, &here);
    free_names(&n);
    return ok;
}

// ---- Parts and their classes ----

static const struct {
    const char *name;
    enum shk_part part;
} part_names[] = {{"train", SHK_PART_TRAIN},
                  {"val", SHK_PART_VAL},
                  {"valid", SHK_PART_VAL},
                  {"validation", SHK_PART_VAL},
                  {"test", SHK_PART_TEST}};
enum { PART_NAMES = sizeof part_names / sizeof *part_names };

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool all_numbers(const struct names *n) {
    for (size_t i = 0; i < n->count; i++)
        if (n->names[i][strspn(n->names[i], "0123456789")]) return false;
    return true;
}

static int by_value(const void *a, const void *b) {
    return shk_compare_classes(*(char *const *)a, *(char *const *)b, true);
}

// Leaves the folders of `n`, in the order of classes.
static bool only_folders(const char *path, struct names *n, struct shk_left_out *out, struct shk_error *err) {
    char within[4096];
    size_t kept = 0;
    for (size_t i = 0; i < n->count; i++) {
        if (!join(within, path, n->names[i], err)) return false;
        if (is_folder(within)) {
            char *name = n->names[i];
            n->names[i] = n->names[kept];
            n->names[kept++] = name;
        } else {
            out->loose++;
        }
    }
    for (size_t i = kept; i < n->count; i++) free(n->names[i]);
    n->count = kept;
    qsort(n->names, n->count, sizeof *n->names, all_numbers(n) ? by_value : by_bytes);
    return true;
}

// The classes of training are those of all parts.
static bool keep_classes(struct shk_file_list *l, struct names *n, const char *path, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    if (n->count < 2 || n->count > MOST_CLASSES)
        return shk_fail(err, SHK_BAD_INPUT, "%s holds %zu folders, but wanted is a folder for each class, 2 to %d",
                        shk_shown_path(path, shown), n->count, MOST_CLASSES);
    l->classes = n->names;
    l->class_count = n->count;
    *n = (struct names){0};
    return true;
}

static bool class_of(const struct shk_file_list *l, const char *name, const char *path, size_t *label,
                     struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    for (*label = 0; *label < l->class_count; ++*label)
        if (strcmp(l->classes[*label], name) == 0) return true;
    return shk_fail(err, SHK_BAD_INPUT, "%s has a class '%.100s', which training has not", shk_shown_path(path, shown),
                    name);
}

static bool list_classes(struct shk_file_list *l, const char *path, const struct names *n, enum shk_part part,
                         struct shk_error *err) {
    struct walk w = {.list = l, .part = part, .err = err};
    char within[4096];
    for (size_t i = 0; i < n->count; i++) {
        struct stat s;
        if (!class_of(l, n->names[i], path, &w.label, err) || !join(within, path, n->names[i], err)) return false;
        if (stat(within, &s) != 0) return cannot_read(within, errno, err);
        if (!walk_folder(&w, within, NULL, &s)) return false;
    }
    return true;
}

static bool list_part(struct shk_file_list *l, const char *path, enum shk_part part, struct shk_error *err) {
    struct names n;
    if (!read_names(path, &n, &l->left_out, err)) return false;
    bool ok = only_folders(path, &n, &l->left_out, err);
    if (ok && part == SHK_PART_TRAIN) {
        struct names of = n;
        ok = keep_classes(l, &n, path, err) && list_classes(l, path, &of, part, err);
    } else if (ok) {
        ok = list_classes(l, path, &n, part, err);
    }
    free_names(&n);
    return ok;
}

bool shk_folder_list(const char *path, struct shk_file_list *l, struct shk_error *err) {
    char within[4096];
    *l = (struct shk_file_list){0};
    bool parts = false, ok = true;
    for (size_t i = 0; ok && i < PART_NAMES; i++) {
        ok = join(within, path, part_names[i].name, err);
        if (!ok || !is_folder(within) || (i > 0 && !parts)) continue; // without train/ these are classes
        parts = true;
        ok = list_part(l, within, part_names[i].part, err);
    }
    if (ok && !parts) ok = list_part(l, path, SHK_PART_TRAIN, err);
    if (!ok) shk_file_list_free(l);
    return ok;
}
