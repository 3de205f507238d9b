// SPDX-License-Identifier: MIT
// Writes a folder of IDX files with MNIST's names (yann.lecun.com/exdb/mnist).
#include "data/write/write.h"
#include <stdio.h>

enum { IDX_U8 = 0x08, IDX_I32 = 0x0c, MOST_BYTE_CLASSES = 256 };

static void put_whole(struct shk_file_out *f, size_t value) {
    const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};
    shk_file_put(f, bytes, sizeof bytes);
}

static void put_header(struct shk_file_out *f, unsigned type, unsigned dims, const size_t *dim) {
    put_whole(f, type << 8 | dims);
    for (unsigned i = 0; i < dims; i++) put_whole(f, dim[i]);
}

static bool create(const struct shk_writing *w, struct shk_file_out *f, enum shk_part part, const char *what,
                   unsigned dims, const char *type, struct shk_error *err) {
    char name[64];
    snprintf(name, sizeof name, "%s-%s-idx%u-%s", part == SHK_PART_TEST ? "t10k" : shk_written_parts[part], what, dims,
             type);
    return shk_writing_create(w, f, name, err);
}

// [n][height][width], and channels behind where there are several.
static bool write_images(const struct shk_writing *w, enum shk_part part, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const size_t dim[] = {d->n, d->shape.height, d->shape.width, d->shape.channels};
    const unsigned dims = d->shape.channels == 1 ? 3 : 4;
    struct shk_file_out f;
    if (!create(w, &f, part, "images", dims, "ubyte", err)) return false;
    put_header(&f, IDX_U8, dims, dim);
    for (size_t i = 0; i < d->n; i++) {
        if (!shk_writing_goes_on(w, err) || !shk_writing_bytes(w, part, i, err)) {
            shk_file_abandon(&f);
            return false;
        }
        shk_file_put(&f, w->bytes, shk_dataset_pixels_of(d));
    }
    return shk_file_finish(&f, err);
}

static bool write_labels(const struct shk_writing *w, enum shk_part part, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const bool bytes = d->shape.classes <= MOST_BYTE_CLASSES;
    struct shk_file_out f;
    if (!create(w, &f, part, "labels", 1, bytes ? "ubyte" : "int", err)) return false;
    put_header(&f, bytes ? IDX_U8 : IDX_I32, 1, &d->n);
    for (size_t i = 0; i < d->n; i++) {
        const unsigned char byte = (unsigned char)d->labels[i];
        if (bytes)
            shk_file_put(&f, &byte, 1);
        else
            put_whole(&f, d->labels[i]);
    }
    return shk_file_finish(&f, err);
}

bool shk_write_idx(const struct shk_writing *w, struct shk_error *err) {
    if (!shk_writing_knows_classes(w, shk_writing_shape(w).classes - 1, err)) return false;
    if (shk_dataset_class(w->data->parts[SHK_PART_TRAIN], 0))
        shk_writing_note(w, "the names of classes are not kept: IDX has numbers only");
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (w->data->parts[part] && (!write_images(w, part, err) || !write_labels(w, part, err))) return false;
    return true;
}
