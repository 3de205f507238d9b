// SPDX-License-Identifier: MIT
// Opens a folder of IDX files as MNIST and its relatives have it, or one file of images with its labels beside it.
#include "base/file.h"
#include "data/arrays/pairs.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

// A name with idx and a digit in it: train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz.
static bool is_name(const char *name) {
    for (; *name; name++)
        if (strncasecmp(name, "idx", 3) == 0 && isdigit((unsigned char)name[3])) return true;
    return false;
}

static bool is_folder_of_idx(const char *path) {
    struct shk_names n;
    if (!shk_array_names(path, is_name, &n, NULL)) return false;
    const bool is = n.count > 0;
    shk_names_free(&n);
    return is;
}

static bool is(const char *path) {
    char folder[SHK_ARRAY_PATH];
    const char *name;
    if (shk_is_folder(path)) return is_folder_of_idx(path);
    return shk_idx_begins(path) || (shk_array_folder(path, folder, &name, NULL) && is_name(name) && shk_is_file(path));
}

static bool open(const struct shk_array_place *p, const char *name, struct shk_reader *in, struct shk_array *a,
                 struct shk_error *err) {
    char path[SHK_ARRAY_PATH];
    return shk_array_path(p->path, name, path, err) && shk_idx_open(path, in, a, err);
}

static bool open_in(const struct shk_request *r, const char *folder, const char *only, struct shk_data *d,
                    struct shk_error *err) {
    struct shk_array_place p = {.path = folder,
                                .wanted = "names such as train-images-idx3-ubyte and train-labels-idx1-ubyte",
                                .only = only,
                                .open = open};
    const bool ok = shk_array_names(folder, only ? NULL : is_name, &p.names, err) && shk_parts_of_arrays(r, &p, d, err);
    shk_names_free(&p.names);
    return ok;
}

static bool open_idx(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    char folder[SHK_ARRAY_PATH];
    const char *name;
    if (shk_is_folder(r->path)) return open_in(r, r->path, NULL, d, err);
    return shk_array_folder(r->path, folder, &name, err) && open_in(r, folder, name, d, err);
}

const struct shk_source_type shk_source_idx = {
    .name = "idx", .what = "IDX files of images and labels", .is = is, .open = open_idx};
