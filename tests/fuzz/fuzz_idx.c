// SPDX-License-Identifier: MIT
// IDX files from any bytes, plain or gzip, as images and as labels.
#include "in_file.h"

#include "data/arrays/array.h"

static void check_images(const struct shk_array *a) {
    // As many labels as there are samples, all of them 0.
    struct shk_array labels = {.name = "labels", .type = SHK_U8, .dims = 1, .dim = {a->dim[0]}};
    struct shk_scale scale = {0};
    struct shk_error err = {0};
    labels.data = calloc(a->dim[0], 1);
    must(labels.data != NULL);
    struct shk_dataset *d = shk_dataset_of_arrays(a, &labels, 0, &scale, &err);
    if (d)
        must(shk_dataset_size(d) == a->dim[0]);
    else
        must_explain(&err);
    shk_dataset_free(d);
    free(labels.data);
}

// One image of 8x8 for each.
static void check_labels(const struct shk_array *a) {
    struct shk_array images = {.name = "images", .type = SHK_U8, .dims = 3, .dim = {a->dim[0], 8, 8}};
    struct shk_scale scale = {0};
    struct shk_error err = {0};
    if (a->dim[0] > 10000) return;
    images.data = calloc(a->dim[0], 64);
    must(images.data != NULL);
    struct shk_dataset *d = shk_dataset_of_arrays(&images, a, 0, &scale, &err);
    for (size_t i = 0; d && i < a->dim[0]; i++) must(shk_dataset_label(d, i) < shk_dataset_shape(d).classes);
    if (!d) must_explain(&err);
    shk_dataset_free(d);
    free(images.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct shk_array a;
    struct shk_error err = {0};
    if (!shk_idx_read(in_file(data, size), &a, &err)) {
        must_explain(&err);
        return 0;
    }
    check_images(&a);
    check_labels(&a);
    shk_array_free(&a);
    return 0;
}
