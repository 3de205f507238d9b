// SPDX-License-Identifier: MIT
// .npy files from any bytes, as images and as labels.
#include "in_file.h"

#include "data/arrays/array.h"

// The array is its own labels, where it has that shape; else it has some of zeros.
static void check(const struct shk_array *a) {
    struct shk_array labels = {.name = "labels", .type = SHK_U8, .dims = 1, .dim = {a->dim[0]}};
    struct shk_array images = {.name = "images", .type = SHK_U8, .dims = 3, .dim = {a->dim[0], 8, 8}};
    const bool are_labels = a->dims <= 2 && a->dim[0] <= 10000;
    struct shk_scale scale = {0};
    struct shk_error err = {0};
    labels.data = calloc(a->dim[0] ? a->dim[0] : 1, 1);
    images.data = are_labels ? calloc(a->dim[0] ? a->dim[0] : 1, 64) : NULL;
    must(labels.data != NULL && (!are_labels || images.data));
    struct shk_dataset *d = shk_dataset_of_arrays(are_labels ? &images : a, are_labels ? a : &labels, 0, &scale, &err);
    for (size_t i = 0; d && i < shk_dataset_size(d); i++) must(shk_dataset_label(d, i) < shk_dataset_shape(d).classes);
    if (!d) must_explain(&err);
    shk_dataset_free(d);
    free(labels.data);
    free(images.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct shk_array a;
    struct shk_error err = {0};
    if (!shk_npy_read(in_file(data, size), &a, &err)) {
        must_explain(&err);
        return 0;
    }
    check(&a);
    shk_array_free(&a);
    return 0;
}
