// SPDX-License-Identifier: MIT
// Reads the numbers of an array as images and as labels, for fuzz targets of its file formats.
#ifndef SHK_FUZZ_ARRAYS_H
#define SHK_FUZZ_ARRAYS_H

#include "in_file.h"

#include "base/memory.h"
#include "data/arrays/array.h"
#include "data/cache.h"

typedef bool open_array(const char *path, struct shk_reader *, struct shk_array *, struct shk_error *);

static inline void read_as_images(open_array *open, const char *path) {
    const struct shk_data_options options = {0};
    const struct shk_request r = {.options = &options};
    struct shk_array a;
    struct shk_reader in;
    struct shk_images m;
    struct shk_room room;
    struct shk_pixel_scale scale = {0};
    struct shk_error err = {0};
    size_t total = 0;
    must(open(path, &in, &a, &err));
    bool ok = shk_images_look(&in, &a, &scale, &m, &err);
    shk_reader_close(&in);
    const struct shk_shape shape = ok ? (struct shk_shape){m.height, m.width, m.channels, 2} : (struct shk_shape){0};
    ok = ok && shk_room_count(&total, m.n, &shape, m.bytes, &err) && shk_room_open(&room, &r, total, true, &err);
    if (ok) {
        struct shk_dataset *d = shk_room_part(&room, m.n, &shape, m.bytes, &err);
        must(d != NULL && open(path, &in, &a, &err));
        ok = shk_images_read(&in, &a, &m, d, &err);
        must(shk_dataset_size(d) == a.dim[0]);
        shk_reader_close(&in);
        shk_dataset_free(d);
        shk_room_close(&room);
    }
    if (!ok) must_explain(&err);
}

static inline void read_as_labels(open_array *open, const char *path) {
    struct shk_array a, images;
    struct shk_reader in;
    struct shk_error err = {0};
    size_t classes = 0;
    must(open(path, &in, &a, &err));
    images = a;
    uint32_t *labels = shk_labels_read(&in, &a, &images, &classes, &err);
    for (size_t i = 0; labels && i < a.dim[0]; i++) must(labels[i] < classes);
    if (!labels) must_explain(&err);
    shk_free(labels);
    shk_reader_close(&in);
}

static inline int read_array(open_array *open, const uint8_t *data, size_t size) {
    const char *path = in_file(data, size);
    struct shk_array a;
    struct shk_reader in;
    struct shk_error err = {0};
    if (!open(path, &in, &a, &err)) {
        must_explain(&err);
        return 0;
    }
    shk_reader_close(&in);
    read_as_images(open, path);
    read_as_labels(open, path);
    return 0;
}

#endif
