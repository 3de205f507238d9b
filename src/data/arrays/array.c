// SPDX-License-Identifier: MIT
// Turns numbers of any type, order and layout into images and labels, a piece of a file at a time.
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

const char *shk_element_name(enum shk_element e) { return elements[e].name; }

// ---- Sizes ----

static void shape_text(const struct shk_array *a, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "(");
    for (unsigned i = 0; i < a->dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "", a->dim[i]);
    if (used < size) snprintf(text + used, size - used, ")");
}

// How many numbers there are, which the file can hold.
static bool count_numbers(struct shk_reader *in, const struct shk_array *a, size_t *count, struct shk_error *err) {
    char shape[256];
    size_t bytes = elements[a->type].bytes;
    shape_text(a, shape, sizeof shape);
    for (unsigned i = 0; i < a->dims; i++) {
        if (a->dim[i] == 0) return shk_fail(err, SHK_BAD_INPUT, "%s: an array of shape %s is empty", a->name, shape);
        if (__builtin_mul_overflow(bytes, a->dim[i], &bytes))
            return shk_fail(err, SHK_BAD_INPUT, "%s: an array of shape %s is larger than any memory", a->name, shape);
    }
    *count = bytes / elements[a->type].bytes;
    return shk_reader_can_hold(in, bytes, "numbers", err);
}

// ---- Numbers ----

static inline uint64_t whole_at(const unsigned char *at, unsigned bytes, bool big_endian) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | at[big_endian ? i : bytes - 1 - i];
    return value;
}

static inline double fraction_of(enum shk_element type, uint64_t bits) {
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
static inline double value_of(enum shk_element type, uint64_t bits) {
    switch (type) {
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
        return fraction_of(type, bits);
    default:
        return (double)bits;
    }
}

static inline void convert_as(enum shk_element type, unsigned bytes, bool big_endian, const unsigned char *from,
                              size_t count, double *to) {
    for (size_t i = 0; i < count; i++) to[i] = value_of(type, whole_at(from + i * bytes, bytes, big_endian));
}

// The usual ones get a loop of their own.
static void convert(const struct shk_array *a, const unsigned char *from, size_t count, double *to) {
    if (a->type == SHK_U8)
        convert_as(SHK_U8, 1, false, from, count, to);
    else if (a->type == SHK_F32 && !a->big_endian)
        convert_as(SHK_F32, 4, false, from, count, to);
    else if (a->type == SHK_F64 && !a->big_endian)
        convert_as(SHK_F64, 8, false, from, count, to);
    else
        convert_as(a->type, elements[a->type].bytes, a->big_endian, from, count, to);
}

// Numbers as they come.
enum { PIECE = 8192 };
struct piece {
    unsigned char bytes[8 * PIECE];
    double numbers[PIECE];
    size_t count, first; // the number of the first one
};

static bool read_piece(struct shk_reader *in, const struct shk_array *a, size_t all, struct piece *p,
                       struct shk_error *err) {
    p->first += p->count;
    p->count = all - p->first < PIECE ? all - p->first : PIECE;
    if (!shk_reader_read(in, p->bytes, p->count * elements[a->type].bytes, "numbers", err)) return false;
    convert(a, p->bytes, p->count, p->numbers);
    return true;
}

// ---- Layouts ----

static bool channels(size_t n) { return n >= 1 && n <= 4; }

// Which dimension of an array height, width and channels are; channels SHK_ARRAY_DIMS: none.
struct axes {
    unsigned height, width, channels;
};

static bool axes_of(const struct shk_array *a, struct axes *x, struct shk_error *err) {
    char shape[256];
    const bool last = a->dims == 4 && channels(a->dim[3]), first = a->dims == 4 && !last && channels(a->dim[1]);
    shape_text(a, shape, sizeof shape);
    *x = (struct axes){first ? 2 : 1, first ? 3 : 2, first ? 1 : last ? 3 : SHK_ARRAY_DIMS};
    return a->dims == 3 || last || first ||
           shk_fail(err, SHK_BAD_INPUT,
                    "%s: an array of shape %s holds no images: wanted is (samples, height, width), and 1 to 4 channels "
                    "behind or before height and width%s",
                    a->name, shape, a->dims == 1 ? "; were images and labels exchanged?" : "");
}

// Goes through the numbers of a file in their order, and through the places of a data set to which they belong.
struct walk {
    unsigned dims;
    size_t dim[4], step[4], at[4]; // the dimension that runs fastest comes first
    size_t place;
};

static struct walk walk_of(const struct shk_array *a, const struct shk_images *m) {
    struct walk w = {.dims = a->dims};
    struct axes x;
    axes_of(a, &x, NULL);
    for (unsigned i = 0; i < a->dims; i++) {
        const unsigned dim = a->fortran ? i : a->dims - 1 - i;
        w.dim[i] = a->dim[dim];
        w.step[i] = dim == x.channels ? 1
                    : dim == x.width  ? m->channels
                    : dim == x.height ? m->width * m->channels
                                      : m->height * m->width * m->channels;
    }
    return w;
}

// Of so many numbers, those that lie in one row from here on.
static size_t row_of(const struct walk *w, size_t count) {
    const size_t left = w->dim[0] - w->at[0];
    return count < left ? count : left;
}

static void step(struct walk *w, size_t count) {
    w->at[0] += count;
    w->place += count * w->step[0];
    for (unsigned i = 0; w->at[i] == w->dim[i] && i + 1 < w->dims; i++) {
        w->at[i] = 0;
        w->at[i + 1]++;
        w->place += w->step[i + 1];
        w->place -= w->dim[i] * w->step[i];
    }
}

static bool lie_as_held(const struct shk_array *a) {
    struct axes x;
    axes_of(a, &x, NULL);
    return !a->fortran && x.channels != 1;
}

// ---- Images ----

// What an array's numbers are.
struct range {
    double least, most;
    bool whole;
};

static bool range_of(struct shk_reader *in, const struct shk_array *a, size_t count, struct range *r,
                     struct shk_error *err) {
    struct piece *p = shk_alloc(1, sizeof *p, "a piece of an array", err);
    bool ok = p;
    *r = (struct range){INFINITY, -INFINITY, true};
    while (ok && p->first + p->count < count && (ok = read_piece(in, a, count, p, err)))
        for (size_t i = 0; ok && i < p->count; i++) {
            const double x = p->numbers[i];
            if (!isfinite(x))
                ok = shk_fail(err, SHK_BAD_INPUT, "%s: image %zu holds %g, but pixels must be finite", a->name,
                              a->fortran ? (p->first + i) % a->dim[0] : (p->first + i) / (count / a->dim[0]), x);
            if (x < r->least) r->least = x;
            if (x > r->most) r->most = x;
            r->whole = r->whole && x == floor(x);
        }
    shk_free(p);
    return ok;
}

// Bytes and truth values say by themselves what they are.
static bool scale_of(const struct shk_array *a, const struct range *r, struct shk_pixel_scale *s, bool *by_255,
                     struct shk_error *err) {
    const bool free = a->type != SHK_U8 && a->type != SHK_BOOL, same = s->known && s->type == a->type && free;
    *by_255 = free && r->least >= 0 && r->most <= 255 && (r->most > 1 || (same && s->by_255));
    if (same && (s->by_255 != *by_255) && (s->by_255 || s->most <= 1))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s holds values of %g to %g, but those of training go to %g: all parts must be scaled alike",
                        a->name, r->least, r->most, s->most);
    if (!s->known) *s = (struct shk_pixel_scale){true, a->type, *by_255, r->most};
    return true;
}

bool shk_images_look(struct shk_reader *in, const struct shk_array *a, struct shk_pixel_scale *scale,
                     struct shk_images *m, struct shk_error *err) {
    const bool small = a->type == SHK_U8 || a->type == SHK_BOOL;
    struct range r = {0, 255, true};
    struct axes x;
    size_t count;
    if (!axes_of(a, &x, err) || !count_numbers(in, a, &count, err) || !(small || range_of(in, a, count, &r, err)))
        return false;
    *m = (struct shk_images){.n = a->dim[0],
                             .height = a->dim[x.height],
                             .width = a->dim[x.width],
                             .channels = x.channels == SHK_ARRAY_DIMS ? 1 : a->dim[x.channels],
                             .factor = a->type == SHK_BOOL ? 255 : 1,
                             .dear = in->packed || a->type != SHK_U8};
    if (!scale_of(a, &r, scale, &m->is_divided, err)) return false;
    m->bytes = small || (m->is_divided && r.whole);
    m->divisor = m->is_divided ? 255 : 1;
    return true;
}

static void put_row(const struct shk_images *m, const double *from, size_t count, size_t step, struct shk_dataset *d,
                    size_t place) {
    if (m->bytes)
        for (size_t i = 0; i < count; i++) d->bytes[place + i * step] = (uint8_t)(m->factor * from[i]);
    else
        for (size_t i = 0; i < count; i++) d->images[place + i * step] = (float)(from[i] / m->divisor);
}

// A number may have changed since it was looked at: it is held within what a byte holds.
static bool read_pieces(struct shk_reader *in, const struct shk_array *a, const struct shk_images *m, size_t count,
                        struct shk_dataset *d, struct shk_error *err) {
    struct piece *p = shk_alloc(1, sizeof *p, "a piece of an array", err);
    struct walk w = walk_of(a, m);
    bool ok = p;
    while (ok && p->first + p->count < count && (ok = read_piece(in, a, count, p, err))) {
        for (size_t i = 0; ok && i < p->count; i++)
            ok = m->bytes ? p->numbers[i] >= 0 && p->numbers[i] <= 255 : isfinite(p->numbers[i]);
        if (!ok) shk_fail(err, SHK_BAD_INPUT, "%s was changed while it was read", a->name);
        for (size_t i = 0, row; ok && i < p->count; i += row) {
            row = row_of(&w, p->count - i);
            put_row(m, p->numbers + i, row, w.step[0], d, w.place);
            step(&w, row);
        }
    }
    shk_free(p);
    return ok;
}

bool shk_images_read(struct shk_reader *in, const struct shk_array *a, const struct shk_images *m,
                     struct shk_dataset *d, struct shk_error *err) {
    size_t count;
    if (!count_numbers(in, a, &count, err)) return false;
    const bool whole = a->type == SHK_U8 && lie_as_held(a);
    return (whole ? shk_reader_read(in, d->bytes, count, "numbers", err) : read_pieces(in, a, m, count, d, err)) &&
           shk_reader_at_end(in, err);
}

// ---- Labels ----

static bool check_labels(const struct shk_array *labels, const struct shk_array *images, struct shk_error *err) {
    char shape[256];
    shape_text(labels, shape, sizeof shape);
    if (labels->dims != 1 && !(labels->dims == 2 && (labels->dim[1] == 1 || labels->first_column)))
        return shk_fail(err, SHK_BAD_INPUT,
                        "%s: labels of shape %s are not read: wanted is one whole number a sample, (%zu)%s",
                        labels->name, shape, images->dim[0],
                        labels->dims == 2 ? "; of one-hot rows or scores it is the place of the greatest" : "");
    if (labels->dim[0] != images->dim[0])
        return shk_fail(err, SHK_BAD_INPUT, "%s holds %zu labels, but %s holds %zu images", labels->name,
                        labels->dim[0], images->name, images->dim[0]);
    return true;
}

enum { MOST_CLASSES = 65536 };

static bool check_label(const struct shk_array *a, size_t i, double x, size_t classes, struct shk_error *err) {
    if (!(x >= 0) || x != floor(x) || x >= MOST_CLASSES)
        return shk_fail(err, SHK_BAD_INPUT, "%s: label %zu is %g, but labels are whole numbers of 0 to %d", a->name, i,
                        x, MOST_CLASSES - 1);
    return !classes || x < (double)classes ||
           shk_fail(err, SHK_BAD_INPUT, "%s: label %zu is %g, but there are %zu classes in training (0 to %zu)",
                    a->name, i, x, classes, classes - 1);
}

static bool read_labels(struct shk_reader *in, const struct shk_array *a, size_t count, uint32_t *labels,
                        size_t classes, struct shk_error *err) {
    const size_t columns = count / a->dim[0];
    struct piece *p = shk_alloc(1, sizeof *p, "a piece of an array", err);
    bool ok = p;
    while (ok && p->first + p->count < count && (ok = read_piece(in, a, count, p, err)))
        for (size_t i = 0; ok && i < p->count; i++) {
            const size_t at = p->first + i;
            if (at % columns) continue;
            ok = check_label(a, at / columns, p->numbers[i], classes, err);
            if (ok) labels[at / columns] = (uint32_t)p->numbers[i];
        }
    shk_free(p);
    return ok && shk_reader_at_end(in, err);
}

uint32_t *shk_labels_read(struct shk_reader *in, const struct shk_array *a, const struct shk_array *images,
                          size_t *classes, struct shk_error *err) {
    size_t count;
    if (!count_numbers(in, a, &count, err) || !check_labels(a, images, err)) return NULL;
    uint32_t *labels = shk_alloc(a->dim[0], sizeof *labels, "labels", err);
    if (!labels || !read_labels(in, a, count, labels, *classes, err)) {
        shk_free(labels);
        return NULL;
    }
    uint32_t most = 0;
    for (size_t i = 0; i < a->dim[0]; i++) most = labels[i] > most ? labels[i] : most;
    if (*classes == 0) *classes = (size_t)most + 1;
    return labels;
}
