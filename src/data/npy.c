// SPDX-License-Identifier: MIT
// Opens NumPy's arrays: a .npz, a folder of .npy files, or one .npy file of images with its labels beside it.
#include "base/file.h"
#include "data/arrays/pairs.h"
#include <minizip/unzip.h>
#include <string.h>
#include <sys/stat.h>

static const char wanted[] =
    "x_train and y_train, train_images and train_labels, or x and y (val, test for other parts)";

static bool is_name(const char *name) {
    const size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".npy") == 0;
}

static bool is_images(const char *name) { return is_name(name) && shk_array_is_images(name); }

static bool is_folder_of_npy(const char *path) {
    struct shk_names n;
    if (!shk_array_names(path, is_images, &n, NULL)) return false;
    const bool is = n.count > 0;
    shk_names_free(&n);
    return is;
}

enum file { OTHER, NPY, ZIP };

// A zip without files in it begins otherwise.
static enum file kind_of(const char *path) {
    struct shk_reader in;
    char begin[6];
    enum file kind = OTHER;
    if (!shk_reader_open(&in, path, NULL)) return OTHER;
    if (shk_reader_read(&in, begin, sizeof begin, "header", NULL))
        kind = memcmp(begin, "\x93NUMPY", 6) == 0                                   ? NPY
               : memcmp(begin, "PK\3\4", 4) == 0 || memcmp(begin, "PK\5\6", 4) == 0 ? ZIP
                                                                                    : OTHER;
    shk_reader_close(&in);
    return kind;
}

static bool is(const char *path) {
    return shk_is_folder(path) ? is_folder_of_npy(path)
                               : kind_of(path) != OTHER || (is_name(path) && shk_is_file(path));
}

// ---- Files ----

static bool open_file(const struct shk_array_place *p, const char *name, struct shk_reader *in, struct shk_array *a,
                      struct shk_error *err) {
    char path[SHK_ARRAY_PATH];
    return shk_array_path(p->path, name, path, err) && shk_npy_open(path, in, a, err);
}

static bool open_files(const struct shk_request *r, const char *folder, const char *only, struct shk_data *d,
                       struct shk_error *err) {
    struct shk_array_place p = {.path = folder, .wanted = wanted, .only = only, .open = open_file};
    const bool ok = shk_array_names(folder, is_name, &p.names, err) && shk_parts_of_arrays(r, &p, d, err);
    shk_names_free(&p.names);
    return ok;
}

// ---- Zips ----

static bool open_in_zip(const struct shk_array_place *p, const char *name, struct shk_reader *in, struct shk_array *a,
                        struct shk_error *err) {
    struct stat s;
    if (stat(p->path, &s) != 0) s.st_size = 0;
    return shk_reader_open_in_zip(in, p->zip, p->path, (uint64_t)s.st_size, name, err) && shk_npy_parse(in, a, err);
}

static bool list_zip(struct shk_array_place *p, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH], name[SHK_ARRAY_PATH];
    for (int at = unzGoToFirstFile(p->zip); at == UNZ_OK; at = unzGoToNextFile(p->zip)) {
        if (unzGetCurrentFileInfo64(p->zip, NULL, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK) break;
        name[sizeof name - 1] = 0;
        if (is_name(name) && !shk_names_add(&p->names, name, err)) return false;
    }
    return p->names.count > 0 || shk_fail(err, SHK_BAD_INPUT, "%s: this zip holds no .npy arrays: wanted are %s",
                                          shk_shown_path(p->path, shown), wanted);
}

static bool open_zip(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    struct shk_array_place p = {.path = r->path, .wanted = wanted, .open = open_in_zip};
    char shown[SHK_SHOWN_PATH];
    p.zip = unzOpen64(r->path);
    if (!p.zip)
        return shk_fail(err, SHK_BAD_INPUT, "%s: this zip cannot be read: it has no list of its files at its end",
                        shk_shown_path(r->path, shown));
    const bool ok = list_zip(&p, err) && shk_parts_of_arrays(r, &p, d, err);
    shk_names_free(&p.names);
    unzClose(p.zip);
    return ok;
}

static bool open_npy(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    char folder[SHK_ARRAY_PATH];
    const char *name;
    if (shk_is_folder(r->path)) return open_files(r, r->path, NULL, d, err);
    if (kind_of(r->path) == ZIP) return open_zip(r, d, err);
    return shk_array_folder(r->path, folder, &name, err) && open_files(r, folder, name, d, err);
}

const struct shk_source_type shk_source_npy = {
    .name = "npy", .what = "NumPy arrays of images and labels", .is = is, .open = open_npy};
