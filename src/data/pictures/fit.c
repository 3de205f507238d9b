// SPDX-License-Identifier: MIT
// Scales pictures: first the rows of a column together, then along each row.
#include "data/pictures/fit.h"

#include "base/memory.h"
#include <string.h>

// ---- Weights along an axis ----

enum { ONE = 1 << 16 };

// What an output pixel is made of: count weights, of inputs from `first` on.
struct span {
    size_t first, count;
    const uint32_t *weights;
};

struct axis {
    size_t in, out;
    size_t most;       // weights of an output
    uint32_t *weights; // [out][most]
    struct span *spans;
};

// The sum of an output's weights is ONE: the last of the largest ones takes what rounding left.
static void settle(uint32_t *w, size_t count) {
    size_t largest = 0;
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += w[i];
        if (w[i] >= w[largest]) largest = i;
    }
    w[largest] += ONE - sum;
}

// Output i covers inputs from i*in/out to (i+1)*in/out.
static void cover(struct axis *a, size_t i, uint32_t *w) {
    const size_t begin = i * a->in, end = (i + 1) * a->in, first = begin / a->out;
    size_t count = 0;
    for (size_t at = first; at * a->out < end; at++, count++) {
        const size_t from = at * a->out > begin ? at * a->out : begin;
        const size_t to = (at + 1) * a->out < end ? (at + 1) * a->out : end;
        w[count] = (uint32_t)(((to - from) * ONE + a->in / 2) / a->in);
    }
    settle(w, count);
    a->spans[i] = (struct span){first, count, w};
}

// The centre of output i is at (i + 1/2) * in/out - 1/2, held within the picture.
static void interpolate(struct axis *a, size_t i, uint32_t *w) {
    const size_t twice = (2 * i + 1) * a->in, half = a->out; // both times 2*out
    size_t place = twice > half ? twice - half : 0;
    const size_t last = (a->in - 1) * 2 * a->out;
    if (place > last) place = last;
    const size_t first = place / (2 * a->out), rest = place % (2 * a->out);
    w[1] = (uint32_t)((rest * ONE + a->out) / (2 * a->out));
    w[0] = ONE - w[1];
    a->spans[i] = (struct span){first, w[1] ? 2 : 1, w};
}

static bool open_axis(struct axis *a, size_t in, size_t out, struct shk_error *err) {
    *a = (struct axis){.in = in, .out = out, .most = in / out + 2};
    a->weights = shk_alloc(out, a->most * sizeof *a->weights, "weights of a scaling", err);
    a->spans = shk_alloc(out, sizeof *a->spans, "spans of a scaling", err);
    if (!a->weights || !a->spans) return false;
    for (size_t i = 0; i < out; i++) (in > out ? cover : interpolate)(a, i, a->weights + i * a->most);
    return true;
}

static void close_axis(struct axis *a) {
    shk_free(a->weights);
    shk_free(a->spans);
}

// ---- A rectangle of a picture to a size ----

struct scaling {
    const uint8_t *from; // the rectangle's first pixel
    size_t row;          // bytes between its rows
    size_t channels;
    struct axis rows, columns;
    uint32_t *sums; // [columns.in][channels]: one output row's, in 1/256 of a byte
};

static void sum_rows(const struct scaling *s, const struct span *span) {
    const size_t n = s->columns.in * s->channels;
    uint32_t *restrict sums = s->sums;
    for (size_t i = 0; i < n; i++) sums[i] = 128;
    for (size_t r = 0; r < span->count; r++) {
        const uint8_t *restrict from = s->from + (span->first + r) * s->row;
        const uint32_t w = span->weights[r];
        for (size_t i = 0; i < n; i++) sums[i] += w * from[i];
    }
    for (size_t i = 0; i < n; i++) sums[i] >>= 8;
}

static void sum_columns(const struct scaling *s, uint8_t *to) {
    for (size_t x = 0; x < s->columns.out; x++) {
        const struct span *span = &s->columns.spans[x];
        for (size_t c = 0; c < s->channels; c++) {
            const uint32_t *at = s->sums + span->first * s->channels + c;
            uint64_t sum = 1 << 23;
            for (size_t i = 0; i < span->count; i++) sum += (uint64_t)span->weights[i] * at[i * s->channels];
            *to++ = (uint8_t)(sum >> 24);
        }
    }
}

// to: rows of `row` bytes.
static bool scale(struct scaling *s, size_t h, size_t w, size_t to_h, size_t to_w, uint8_t *to, size_t row,
                  struct shk_error *err) {
    bool ok = open_axis(&s->rows, h, to_h, err) && open_axis(&s->columns, w, to_w, err);
    s->sums = ok ? shk_alloc(w * s->channels, sizeof *s->sums, "a row of a scaling", err) : NULL;
    for (size_t y = 0; s->sums && y < to_h; y++) {
        sum_rows(s, &s->rows.spans[y]);
        sum_columns(s, to + y * row);
    }
    ok = s->sums;
    shk_free(s->sums);
    close_axis(&s->rows);
    close_axis(&s->columns);
    return ok;
}

// ---- Channels ----

static void change_channels(const uint8_t *from, size_t channels, uint8_t *to, size_t wanted, size_t pixels) {
    for (size_t i = 0; i < pixels; i++, from += channels)
        if (channels == 3 && wanted == 1)
            *to++ = (uint8_t)((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + 32768u) >> 16);
        else
            for (size_t c = 0; c < wanted; c++) *to++ = from[channels == 1 ? 0 : c];
}

// ---- Fitting ----

// n * to / from, rounded, at least 1.
static size_t share(size_t n, size_t to, size_t from) {
    const size_t part = (2 * n * to + from) / (2 * from);
    return part ? part : 1;
}

// The picture, in its own channels, as a picture of the wanted size.
static bool fit_pixels(const struct shk_picture *p, const struct shk_fitting *f, uint8_t *to, struct shk_error *err) {
    const size_t c = p->channels, row = f->width * c;
    const bool broad = p->width * f->height > p->height * f->width; // for the wanted aspect
    size_t h = p->height, w = p->width, to_h = f->height, to_w = f->width;
    if (f->fit == SHK_FIT_CROP && broad) w = share(h, f->width, f->height);
    if (f->fit == SHK_FIT_CROP && !broad) h = share(w, f->height, f->width);
    if (f->fit == SHK_FIT_LETTERBOX && broad) to_h = share(h, f->width, w);
    if (f->fit == SHK_FIT_LETTERBOX && !broad) to_w = share(w, f->height, h);
    if (w > p->width) w = p->width;
    if (h > p->height) h = p->height;
    struct scaling s = {.from = p->pixels + ((p->height - h) / 2 * p->width + (p->width - w) / 2) * c,
                        .row = p->width * c,
                        .channels = c};
    if (to_h < f->height || to_w < f->width) memset(to, f->background, f->height * row);
    return scale(&s, h, w, to_h, to_w, to + (f->height - to_h) / 2 * row + (f->width - to_w) / 2 * c, row, err);
}

bool shk_picture_fit(const struct shk_picture *p, const struct shk_fitting *f, uint8_t *to, struct shk_error *err) {
    const size_t pixels = f->height * f->width;
    if (p->channels == f->channels) {
        if (p->height != f->height || p->width != f->width) return fit_pixels(p, f, to, err);
        memcpy(to, p->pixels, pixels * p->channels);
        return true;
    }
    uint8_t *own = shk_alloc(pixels, p->channels, "a fitted picture", err);
    bool ok = own && fit_pixels(p, f, own, err);
    if (ok) change_channels(own, p->channels, to, f->channels, pixels);
    shk_free(own);
    return ok;
}
