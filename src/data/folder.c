// SPDX-License-Identifier: MIT
// Walks a folder of pictures in folders of classes.
#include "base/file.h"
#include "data/pictures/load.h"
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

bool shk_file_is_hidden(const char *name) {
    return name[0] == '.' || strcmp(name, "__MACOSX") == 0 || strcmp(name, "Thumbs.db") == 0 ||
           strcmp(name, "desktop.ini") == 0;
}

static bool cannot_read(const char *path, int why, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, SHK_BAD_INPUT, "the folder %s cannot be read: %s", shk_shown_path(path, shown), strerror(why));
}

// What readdir says that a name is: DT_REG, DT_DIR, or something that stat tells.
struct entry {
    char *name;
    unsigned char type;
};

struct listing {
    size_t count, room;
    struct entry *entries;
};

static void free_listing(struct listing *l) {
    for (size_t i = 0; i < l->count; i++) free(l->entries[i].name);
    free(l->entries);
    *l = (struct listing){0};
}

static bool add_entry(struct listing *l, const struct dirent *of, struct shk_error *err) {
    enum { FIRST_ROOM = 256 };
    if (l->count == l->room) {
        const size_t room = l->room ? 2 * l->room : FIRST_ROOM;
        struct entry *entries = realloc(l->entries, room * sizeof *entries);
        if (!entries) return shk_fail(err, SHK_FAILED, "out of memory for a list of %zu names", room);
        l->entries = entries;
        l->room = room;
    }
    char *name = strdup(of->d_name);
    if (!name) return shk_fail(err, SHK_FAILED, "out of memory for the name of a file");
    l->entries[l->count++] = (struct entry){name, of->d_type};
    return true;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

// What a folder holds, sorted by bytes, but for hidden names, which are counted.
static bool read_listing(const char *path, struct listing *l, struct shk_left_out *out, struct shk_error *err) {
    *l = (struct listing){0};
    DIR *folder = opendir(path);
    if (!folder) return cannot_read(path, errno, err);
    bool ok = true;
    struct dirent *entry;
    while (ok && (errno = 0, entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (shk_file_is_hidden(entry->d_name))
            out->hidden++;
        else
            ok = add_entry(l, entry, err);
    }
    if (ok && errno) ok = cannot_read(path, errno, err);
    closedir(folder);
    if (l->count) qsort(l->entries, l->count, sizeof *l->entries, by_bytes);
    if (!ok) free_listing(l);
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
    const struct place *above;
    size_t root; // characters of the folder of classes, and its slash
    size_t label;
    enum shk_part part;
    struct shk_error *err;
};

static bool join(char out[4096], const char *folder, const char *name, struct shk_error *err) {
    return snprintf(out, 4096, "%s/%s", folder, name) < 4096 ||
           shk_fail(err, SHK_BAD_INPUT, "the path of %.100s in its folder is longer than 4095 bytes", name);
}

static bool walk_folder(const struct walk *, const char *path, const struct place *above, const struct stat *);

static bool take_listed(const struct walk *w, const char *path) {
    return shk_file_list_add(w->list, path, w->root, w->label, w->part, w->err);
}

static bool take(const struct walk *w, const char *path, unsigned char type, const struct place *above) {
    struct stat s;
    if (type == DT_REG) return take_listed(w, path);
    const bool there = stat(path, &s) == 0;
    if (!there && errno == ELOOP) return ++w->list->left_out.loops, true;
    // Reading what is not there, such as where a link leads to nothing, fails, and then it is a bad file among others.
    if (!there || S_ISREG(s.st_mode)) return take_listed(w, path);
    if (S_ISDIR(s.st_mode)) return walk_folder(w, path, above, &s);
    w->list->left_out.others++;
    return true;
}

static bool walk_folder(const struct walk *w, const char *path, const struct place *above, const struct stat *s) {
    const struct place here = {above, s->st_dev, s->st_ino, above ? above->depth + 1 : 0};
    char shown[SHK_SHOWN_PATH], within[4096];
    struct listing l;
    if (loops(above, s)) return ++w->list->left_out.loops, true;
    if (here.depth > MOST_DEPTH)
        return shk_fail(w->err, SHK_BAD_INPUT, "%s: folders of pictures are read %d deep", shk_shown_path(path, shown),
                        MOST_DEPTH);
    if (!read_listing(path, &l, &w->list->left_out, w->err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l.count; i++)
        ok = join(within, path, l.entries[i].name, w->err) && take(w, within, l.entries[i].type, &here);
    free_listing(&l);
    return ok;
}

bool shk_file_list_add_folder(struct shk_file_list *l, const char *path, struct shk_error *err) {
    const struct walk w = {.list = l, .part = SHK_PART_TEST, .err = err};
    struct stat s;
    if (stat(path, &s) != 0) return cannot_read(path, errno, err);
    return walk_folder(&w, path, NULL, &s);
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

static bool is_folder(const char *path, unsigned char type) {
    return type == DT_DIR || (type != DT_REG && shk_is_folder(path));
}

// The folders in a folder, in the order of classes.
static bool read_classes(const char *path, struct shk_names *n, struct shk_left_out *out, struct shk_error *err) {
    char within[4096];
    struct listing l;
    *n = (struct shk_names){0};
    if (!read_listing(path, &l, out, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < l.count; i++) {
        ok = join(within, path, l.entries[i].name, err);
        if (ok && is_folder(within, l.entries[i].type))
            ok = shk_names_add(n, l.entries[i].name, err);
        else
            out->loose++;
    }
    free_listing(&l);
    shk_sort_classes(n);
    return ok;
}

static bool enough_classes(const struct shk_names *n, const char *path, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    if (n->count >= 2 && n->count <= MOST_CLASSES) return true;
    return shk_fail(err, SHK_BAD_INPUT, "%s holds %zu folder%s, but wanted is a folder for each class, 2 to %d",
                    shk_shown_path(path, shown), n->count, n->count == 1 ? "" : "s", MOST_CLASSES);
}

static bool list_class(const struct walk *of, const char *path, const char *name) {
    struct walk w = *of;
    char within[4096], shown[SHK_SHOWN_PATH];
    struct stat s;
    w.root = strlen(path) + 1;
    w.label = shk_names_find(&w.list->classes, name);
    if (w.label == w.list->classes.count)
        return shk_fail(w.err, SHK_BAD_INPUT, "%s has a class '%.100s', which training has not",
                        shk_shown_path(path, shown), name);
    if (!join(within, path, name, w.err)) return false;
    if (stat(within, &s) != 0) return cannot_read(within, errno, w.err);
    return walk_folder(&w, within, w.above, &s);
}

static bool locate(const char *path, const struct place *above, struct place *here, struct shk_error *err) {
    struct stat s;
    if (stat(path, &s) != 0) return cannot_read(path, errno, err);
    *here = (struct place){above, s.st_dev, s.st_ino, 0};
    return true;
}

// The first part's folders are the classes of all, where these are not known before.
static bool list_part(struct shk_file_list *l, const char *path, enum shk_part part, struct shk_error *err) {
    char up[4096];
    struct place parent, here;
    const struct walk w = {.list = l, .above = &here, .part = part, .err = err};
    struct shk_names n;
    if (!join(up, path, "..", err) || !locate(up, NULL, &parent, err) || !locate(path, &parent, &here, err))
        return false;
    bool ok = read_classes(path, &n, &l->left_out, err);
    if (ok && l->classes.count == 0) ok = enough_classes(&n, path, err) && shk_names_copy(&l->classes, &n, err);
    for (size_t i = 0; ok && i < n.count; i++) ok = list_class(&w, path, n.names[i]);
    shk_names_free(&n);
    return ok;
}

// Whether train/ is there (or, for a model, any part); else the folders are classes.
static bool has_parts(const char *path, const struct shk_names *known) {
    char within[4096];
    for (size_t i = 0; i < (known ? PART_NAMES : 1); i++)
        if (join(within, path, part_names[i].name, NULL) && shk_is_folder(within) &&
            (!known || shk_names_find(known, part_names[i].name) == known->count))
            return true;
    return false;
}

static bool list(const struct shk_request *r, struct shk_file_list *l, struct shk_error *err) {
    char within[4096];
    if (r->names && !shk_names_copy(&l->classes, r->names, err)) return false;
    if (r->part != SHK_PARTS) return list_part(l, r->path, r->part, err);
    if (!has_parts(r->path, r->names)) return list_part(l, r->path, SHK_PART_TRAIN, err);
    for (size_t i = 0; i < PART_NAMES; i++) {
        if (!join(within, r->path, part_names[i].name, err)) return false;
        if (shk_is_folder(within) && !list_part(l, within, part_names[i].part, err)) return false;
    }
    return true;
}

// ---- The source ----

static bool is_picture(const char *path) {
    unsigned char begin[SHK_FILE_BEGIN];
    FILE *file = fopen(path, "re");
    const size_t size = file ? fread(begin, 1, sizeof begin, file) : 0;
    if (file) fclose(file);
    return shk_picture_known(begin, size, "", NULL);
}

// Whether one of the first files below is a picture.
static bool holds_pictures(const char *path) {
    enum { MOST_LOOKED_AT = 1000 };
    struct shk_file_list l = {0};
    bool any = false;
    if (shk_file_list_add_folder(&l, path, NULL))
        for (size_t i = 0; !any && i < l.count && i < MOST_LOOKED_AT; i++) any = is_picture(l.files[i].path);
    shk_file_list_free(&l);
    return any;
}

static bool holds_arrays(const char *path) {
    return shk_source_idx.is(path) || shk_source_npy.is(path) || shk_source_cifar.is(path);
}

// A folder with folders in it; where arrays lie beside these, there must be pictures in them.
static bool is(const char *path) {
    struct shk_names n = {0};
    struct shk_left_out out;
    const bool ok = shk_is_folder(path) && read_classes(path, &n, &out, NULL) && n.count > 0;
    shk_names_free(&n);
    return ok && (!holds_arrays(path) || holds_pictures(path));
}

static bool open_folder(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    struct shk_file_list l = {0};
    bool ok = list(r, &l, err);
    shk_file_list_sort(&l);
    ok = ok && shk_pictures_load(r, &l, d, err);
    shk_file_list_free(&l);
    return ok;
}

const struct shk_source_type shk_source_folder = {
    .name = "folder", .what = "a folder of pictures in a folder for each class", .is = is, .open = open_folder};
