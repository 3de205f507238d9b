// SPDX-License-Identifier: MIT
// Pictures that a model is asked about: files, all files of a folder, or standard input.
#include "base/file.h"
#include "base/memory.h"
#include "base/runtime.h"
#include "data/pictures/load.h"
#include "nn/model.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct shk_pictures {
    struct shk_file_list list;
    struct shk_dataset *data;
    char **why; // [list.count]
};

static bool add(struct shk_file_list *l, const char *path, struct shk_error *err) {
    struct stat s;
    if (strcmp(path, "-") != 0 && stat(path, &s) == 0 && S_ISDIR(s.st_mode))
        return shk_file_list_add_folder(l, path, err);
    return shk_file_list_add(l, path, 0, 0, SHK_PART_TEST, err);
}

static bool fill(struct shk_pictures *p, const struct shk_model *m, const struct shk_runtime *runtime,
                 struct shk_error *err) {
    const struct shk_preprocessing *as = &m->input.prepared;
    const struct shk_fitting fitting = {as->fit, m->shape.height, m->shape.width, m->shape.channels,
                                        (uint8_t)as->background};
    if (m->shape.channels != 1 && m->shape.channels != 3)
        return shk_fail(err, SHK_BAD_INPUT, "this model takes images of %zu channels, which no picture has",
                        m->shape.channels);
    p->data = shk_dataset_new_bytes(p->list.count, &m->shape, err);
    p->why = p->data ? shk_alloc(p->list.count, sizeof *p->why, "a list of pictures", err) : NULL;
    if (!p->why || !shk_pictures_decode(&p->list, &fitting, &runtime->team, p->data->bytes, p->why, err)) return false;
    if (as->normalised) shk_dataset_normalise(p->data, as->mean, as->deviation);
    return true;
}

struct shk_pictures *shk_pictures_open(const struct shk_model *m, const char *const *paths, size_t n,
                                       const struct shk_runtime *runtime, struct shk_error *err) {
    struct shk_pictures *p = shk_alloc(1, sizeof *p, "pictures", err);
    bool ok = p;
    for (size_t i = 0; ok && i < n; i++) ok = add(&p->list, paths[i], err);
    if (ok && p->list.count == 0)
        ok = shk_fail(err, SHK_BAD_INPUT, "there is no picture in %zu folder%s", n, n == 1 ? "" : "s");
    if (ok && fill(p, m, runtime, err)) return p;
    shk_pictures_free(p);
    return NULL;
}

void shk_pictures_free(struct shk_pictures *p) {
    if (!p) return;
    for (size_t i = 0; p->why && i < p->list.count; i++) free(p->why[i]);
    shk_free(p->why);
    shk_dataset_free(p->data);
    shk_file_list_free(&p->list);
    shk_free(p);
}

const struct shk_dataset *shk_pictures_data(const struct shk_pictures *p) { return p->data; }
const char *shk_pictures_name(const struct shk_pictures *p, size_t i) { return p->list.files[i].path; }
const char *shk_pictures_error(const struct shk_pictures *p, size_t i) { return p->why[i]; }
