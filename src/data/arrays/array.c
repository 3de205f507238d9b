// SPDX-License-Identifier: MIT
// Turns arrays of any number type, order and layout into images and labels.
#include "data/arrays/array.h"

#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bytes;
} elements[SHK_ELEMENTS] = {
    [SHK_BOOL] = {"bool", 1}, [SHK_U8] = {"uint8", 1},    [SHK_I8] = {"int8", 1},     [SHK_U16] = {"uint16", 2},
    [SHK_I16] = {"int16", 2}, [SHK_U32] = {"uint32", 4},  [SHK_I32] = {"int32", 4},   [SHK_U64] = {"uint64", 8},
    [SHK_I64] = {"int64", 8}, [SHK_F32] = {"float32", 4}, [SHK_F64] = {"float64", 8},
};

unsigned shk_element_bytes(enum shk_element e) { return elements[e].bytes; }
const char *shk_element_name(enum shk_element e) { return elements[e].name; }

// ---- Reading ----

static void shape_text(const struct shk_array *a, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "(");
    for (unsigned i = 0; i < a->dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "", a->dim[i]);
    if (used < size) snprintf(text + used, size - used, ")");
}

static bool bytes_of(const struct shk_array *a, size_t *bytes, struct shk_error *err) {
    char shape[256];
    shape_text(a, shape, sizeof shape);
    *bytes = elements[a->type].bytes;
    for (unsigned i = 0; i < a->dims; i++) {
        if (a->dim[i] == 0) return shk_fail(err, SHK_BAD_INPUT, "%s: an array of shape %s is empty", a->name, shape);
        if (__builtin_mul_overflow(*bytes, a->dim[i], bytes))
            return shk_fail(err, SHK_BAD_INPUT, "%s: an array of shape %s is larger than any memory", a->name, shape);
    }
    return true;
}

bool shk_array_read(struct shk_array *a, struct shk_reader *in, struct shk_error *err) {
    size_t bytes;
    memcpy(a->name, in->name, sizeof a->name);
    if (!bytes_of(a, &bytes, err) || !shk_reader_can_hold(in, bytes, "numbers", err)) return false;
    a->data = shk_alloc(bytes, 1, a->name, err);
    if (a->data && shk_reader_read(in, a->data, bytes, "numbers", err) && shk_reader_at_end(in, err)) return true;
    shk_array_free(a);
    return false;
}

void shk_array_free(struct shk_array *a) {
    shk_free(a->data);
    a->data = NULL;
}

// ---- Numbers ----

static uint64_t whole_at(const struct shk_array *a, const unsigned char *at) {
    const unsigned bytes = elements[a->type].bytes;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | at[a->big_endian ? i : bytes - 1 - i];
    return value;
}

static double fraction_of(enum shk_element type, uint64_t bits) {
    float single;
    double value;
    const uint32_t low = (uint32_t)bits;
    if (type == SHK_F32) {
        memcpy(&single, &low, sizeof single);
        return (double)single;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Whole numbers above 2^53 are rounded: no pixel and no label is so large.
static double value_at(const struct shk_array *a, size_t place) {
    const uint64_t bits = whole_at(a, a->data + place * elements[a->type].bytes);
    switch (a->type) {
    case SHK_BOOL:
        return bits ? 1 : 0;
    case SHK_I8:
        return (int8_t)bits;
    case SHK_I16:
        return (int16_t)bits;
    case SHK_I32:
        return (int32_t)bits;
    case SHK_I64:
        return (double)(int64_t)bits;
    case SHK_F32:
    case SHK_F64:
        return fraction_of(a->type, bits);
    default:
        return (double)bits;
    }
}

// How far the element of the next index of a dimension is.
static size_t step_of(const struct shk_array *a, unsigned dim) {
    size_t step = 1;
    for (unsigned i = 0; i < a->dims; i++)
        if (a->fortran ? i < dim : i > dim) step *= a->dim[i];
    return step;
}

// ---- Layouts ----

// The images of an array: their shape, and the steps of sample, row, column and channel.
struct layout {
    size_t n, h, w, c, step_n, step_h, step_w, step_c;
};

static bool channels(size_t n) { return n >= 1 && n <= 4; }

static bool layout_of(const struct shk_array *a, struct layout *l, struct shk_error *err) {
    char shape[256];
    const bool last = a->dims == 4 && channels(a->dim[3]), first = a->dims == 4 && !last && channels(a->dim[1]);
    shape_text(a, shape, sizeof shape);
    if (a->dims != 3 && !last && !first)
        return shk_fail(
            err, SHK_BAD_INPUT,
            "%s: an array of shape %s holds no images: wanted is (samples, height, width), and 1 to 4 channels "
            "behind or before height and width%s",
            a->name, shape, a->dims == 1 ? "; were images and labels exchanged?" : "");
    const unsigned h = first ? 2 : 1, w = first ? 3 : 2, c = first ? 1 : 3;
    *l = (struct layout){.n = a->dim[0], .h = a->dim[h], .w = a->dim[w], .c = a->dims == 3 ? 1 : a->dim[c]};
    l->step_n = step_of(a, 0);
    l->step_h = step_of(a, h);
    l->step_w = step_of(a, w);
    l->step_c = a->dims == 3 ? 0 : step_of(a, c);
    return true;
}

// Whether images lie as a data set holds them.
static bool plain(const struct layout *l) {
    return (l->step_c == 1 || l->c == 1) && l->step_w == l->c && l->step_h == l->w * l->c &&
           l->step_n == l->h * l->w * l->c;
}

// ---- Images ----

// What an array's numbers are.
struct range {
    double least, most;
    bool whole;
};

static bool range_of(const struct shk_array *a, size_t count, const struct layout *l, struct range *r,
                     struct shk_error *err) {
    *r = (struct range){INFINITY, -INFINITY, true};
    for (size_t i = 0; i < count; i++) {
        const double x = value_at(a, i);
        if (!isfinite(x))
            return shk_fail(err, SHK_BAD_INPUT, "%s: image %zu holds %g, but pixels must be finite", a->name,
                            i / l->step_n % l->n, x);
        if (x < r->least) r->least = x;
        if (x > r->most) r->most = x;
        if (x != floor(x)) r->whole = false;
    }
    return true;
}

static void copy_bytes(const struct shk_array *a, const struct layout *l, unsigned factor, uint8_t *to) {
    const size_t count = l->n * l->h * l->w * l->c;
    if (a->type == SHK_U8 && plain(l)) {
        memcpy(to, a->data, count);
        return;
    }
    for (size_t n = 0; n < l->n; n++)
        for (size_t y = 0; y < l->h; y++)
            for (size_t x = 0; x < l->w; x++)
                for (size_t c = 0; c < l->c; c++)
                    *to++ =
                        (uint8_t)(factor * value_at(a, n * l->step_n + y * l->step_h + x * l->step_w + c * l->step_c));
}

static void copy_floats(const struct shk_array *a, const struct layout *l, double divisor, float *to) {
    for (size_t n = 0; n < l->n; n++)
        for (size_t y = 0; y < l->h; y++)
            for (size_t x = 0; x < l->w; x++)
                for (size_t c = 0; c < l->c; c++)
                    *to++ =
                        (float)(value_at(a, n * l->step_n + y * l->step_h + x * l->step_w + c * l->step_c) / divisor);
}

// ---- Labels ----

static bool check_labels(const struct shk_array *labels, const struct shk_array *images, struct shk_error *err) {
    char shape[256];
    shape_text(labels, shape, sizeof shape);
    if (labels->dims != 1 && !(labels->dims == 2 && labels->dim[1] == 1))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s: labels of shape %s are not read: wanted is one whole number a sample, (%zu)%s",
                        labels->name, shape, images->dim[0],
                        labels->dims == 2 ? "; of one-hot rows or scores it is the place of the greatest" : "");
    if (labels->dim[0] != images->dim[0])
        return shk_fail(err, SHK_BAD_INPUT, "%s holds %zu labels, but %s holds %zu images", labels->name,
                        labels->dim[0], images->name, images->dim[0]);
    return true;
}

// classes: as in array.h; becomes the number of them.
static bool read_labels(const struct shk_array *a, uint32_t *labels, size_t *classes, struct shk_error *err) {
    enum { MOST = 65536 };
    double most = 0;
    for (size_t i = 0; i < a->dim[0]; i++) {
        const double x = value_at(a, i);
        if (!(x >= 0) || x != floor(x) || x >= MOST)
            return shk_fail(err, SHK_BAD_INPUT, "%s: label %zu is %g, but labels are whole numbers of 0 to %d", a->name,
                            i, x, MOST - 1);
        if (*classes && x >= (double)*classes)
            return shk_fail(err, SHK_BAD_INPUT, "%s: label %zu is %g, but there are %zu classes in training (0 to %zu)",
                            a->name, i, x, *classes, *classes - 1);
        labels[i] = (uint32_t)x;
        if (x > most) most = x;
    }
    if (*classes == 0) *classes = (size_t)most + 1;
    return true;
}

// ---- The data set ----

// The samples of checked arrays; bytes: of 8 bits.
static struct shk_dataset *new_dataset(const struct layout *l, const struct shk_array *images,
                                       const struct shk_array *labels, size_t classes, bool bytes,
                                       struct shk_error *err) {
    struct shk_error why = {0};
    uint32_t *numbers = shk_alloc(l->n, sizeof *numbers, "labels", err);
    struct shk_dataset *d = NULL;
    if (numbers && read_labels(labels, numbers, &classes, err)) {
        const struct shk_shape shape = {l->h, l->w, l->c, classes < 2 ? 2 : classes};
        d = bytes ? shk_dataset_new_bytes(l->n, &shape, &why) : shk_dataset_new(l->n, &shape, &why);
        if (!d) shk_fail(err, why.code, "%s: %s", images->name, why.text);
    }
    if (d) memcpy(d->labels, numbers, l->n * sizeof *numbers);
    shk_free(numbers);
    return d;
}

// Bytes and truth values say by themselves what they are.
static bool scale_of(const struct shk_array *a, const struct range *r, struct shk_scale *s, struct shk_error *err) {
    const bool free = a->type != SHK_U8 && a->type != SHK_BOOL, same = s->known && s->type == a->type && free;
    const bool by_255 = free && r->least >= 0 && r->most <= 255 && (r->most > 1 || (same && s->by_255));
    if (same && (s->by_255 != by_255) && (s->by_255 || s->most <= 1))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s holds values of %g to %g, but those of training go to %g: all parts must be scaled alike",
                        a->name, r->least, r->most, s->most);
    if (!s->known) *s = (struct shk_scale){true, a->type, by_255, r->most, false};
    s->last = by_255;
    return true;
}

struct shk_dataset *shk_dataset_of_arrays(const struct shk_array *images, const struct shk_array *labels,
                                          size_t classes, struct shk_scale *scale, struct shk_error *err) {
    struct layout l;
    struct range r = {0, 255, true};
    if (!layout_of(images, &l, err) || !check_labels(labels, images, err)) return NULL;
    if (images->type != SHK_U8 && !range_of(images, l.n * l.h * l.w * l.c, &l, &r, err)) return NULL;
    if (!scale_of(images, &r, scale, err)) return NULL;
    if (images->type == SHK_U8 || images->type == SHK_BOOL || (scale->last && r.whole)) {
        struct shk_dataset *d = new_dataset(&l, images, labels, classes, true, err);
        if (d) copy_bytes(images, &l, images->type == SHK_BOOL ? 255 : 1, d->bytes);
        return d;
    }
    struct shk_dataset *d = new_dataset(&l, images, labels, classes, false, err);
    if (d) copy_floats(images, &l, scale->last ? 255 : 1, d->images);
    return d;
}
