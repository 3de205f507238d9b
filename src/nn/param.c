// SPDX-License-Identifier: MIT
// A parameter's numbers are found here, one by one and in runs.
#include "nn/param.h"

size_t shk_axis_extent(const struct shk_axis *axis) {
    size_t extent = 1;
    for (unsigned i = 0; i < axis->count; i++) extent *= axis->digits[i].extent;
    return extent;
}

bool shk_axis_equal(const struct shk_axis *a, const struct shk_axis *b) {
    if (a->count != b->count) return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->digits[i].extent != b->digits[i].extent || a->digits[i].stride != b->digits[i].stride) return false;
    return true;
}

static size_t map_index(const struct shk_axis *axis, size_t index) {
    size_t mapped = 0;
    for (unsigned i = axis->count; i-- > 0; index /= axis->digits[i].extent)
        mapped += index % axis->digits[i].extent * axis->digits[i].stride;
    return mapped;
}

// Where the element of mapped indices o and i lies.
static size_t place_of(const struct shk_param *p, size_t o, size_t i) {
    if (p->layout == SHK_ROWS) return p->offset + o * p->ld + i;
    if (p->layout == SHK_PANELS) return p->offset + o / 16 * (p->ld * 16) + i * 16 + o % 16;
    size_t tile = i / SHK_INPUT_TILE;
    return p->offset + tile * SHK_INPUT_TILE * p->ld + o * shk_tile_width(p, tile) + i % SHK_INPUT_TILE;
}

size_t shk_param_position(const struct shk_param *p, size_t index) {
    size_t inner = shk_axis_extent(&p->inner);
    return place_of(p, map_index(&p->outer, index / inner), map_index(&p->inner, index % inner));
}

// ---- Many numbers at once ----

// Runs of consecutive indices whose places are equally far apart: the fastest digit of the inner axis.
struct walk {
    const struct shk_param *p;
    size_t outer[3], inner[3]; // digits
    size_t o, i;               // mapped
};

static size_t digits_of(const struct shk_axis *axis, size_t index, size_t digits[3]) {
    size_t mapped = 0;
    for (unsigned d = axis->count; d-- > 0; index /= axis->digits[d].extent) {
        digits[d] = index % axis->digits[d].extent;
        mapped += digits[d] * axis->digits[d].stride;
    }
    return mapped;
}

// Adds 1 to the slowest `count` digits; false where all of them are 0 again.
static bool count_on(const struct shk_axis *axis, unsigned count, size_t digits[3], size_t *mapped) {
    for (unsigned d = count; d-- > 0;) {
        *mapped += axis->digits[d].stride;
        if (++digits[d] < axis->digits[d].extent) return true;
        *mapped -= digits[d] * axis->digits[d].stride;
        digits[d] = 0;
    }
    return false;
}

static struct walk walk_from(const struct shk_param *p, size_t index) {
    struct walk w = {.p = p};
    size_t inner = shk_axis_extent(&p->inner);
    w.o = digits_of(&p->outer, index / inner, w.outer);
    w.i = digits_of(&p->inner, index % inner, w.inner);
    return w;
}

// The rest of the run, of at most `most` numbers: its place, how far apart, and how many.
static size_t next_run(struct walk *w, size_t most, size_t *place, size_t *stride) {
    const struct shk_param *p = w->p;
    const struct shk_axis *axis = &p->inner;
    unsigned last = axis->count - 1; // of no meaning where there are no digits
    size_t left = axis->count ? axis->digits[last].extent - w->inner[last] : 1, n = left < most ? left : most;
    size_t step = axis->count ? axis->digits[last].stride : 0;
    *place = place_of(p, w->o, w->i);
    *stride = p->layout == SHK_PANELS ? step * 16 : step;
    if (p->layout == SHK_INPUT_TILES) { // no further than to the tile's end
        size_t inside = (SHK_INPUT_TILE - w->i % SHK_INPUT_TILE + step - 1) / step;
        if (inside < n) n = inside;
    }
    if (n < left) {
        w->inner[last] += n;
        w->i += n * step;
    } else {
        if (axis->count) {
            w->i -= w->inner[last] * step;
            w->inner[last] = 0;
        }
        if (!axis->count || !count_on(axis, last, w->inner, &w->i))
            count_on(&p->outer, p->outer.count, w->outer, &w->o);
    }
    return n;
}

void shk_param_gather(const struct shk_param *p, size_t first, size_t n, const float *padded, float *values) {
    struct walk w = walk_from(p, first);
    for (size_t done = 0, place, stride, run; done < n; done += run) {
        run = next_run(&w, n - done, &place, &stride);
        for (size_t k = 0; k < run; k++) values[done + k] = padded[place + k * stride];
    }
}

void shk_param_scatter(const struct shk_param *p, size_t first, size_t n, const float *values, float *padded) {
    struct walk w = walk_from(p, first);
    for (size_t done = 0, place, stride, run; done < n; done += run) {
        run = next_run(&w, n - done, &place, &stride);
        for (size_t k = 0; k < run; k++) padded[place + k * stride] = values[done + k];
    }
}

size_t shk_param_panels(const struct shk_param *p) {
    size_t width = p->layout == SHK_INPUT_TILES ? SHK_INPUT_TILE : 16;
    return p->packing ? (p->length / p->ld + width - 1) / width : 0;
}
