// SPDX-License-Identifier: MIT
// SquareDataset, the founding experiment's data: where in a 3x3 grid is the square?
#include "base/shape.h"
#include "base/stream.h"
#include "data/dataset.h"
#include "data/source.h"
#include "settings/settings.h"
#include <string.h>

enum { GRID = 3, USUAL_SIZE = 32 };

// A setting's default. All settings together are too much for a stack that may not grow.
static double usual(const char *setting) { return shk_setting_named(setting)->standard; }

static void draw(float *image, size_t size, size_t top, size_t left, size_t square, bool inverted) {
    float background = inverted ? 1.0f : 0.0f;
    for (size_t i = 0; i < size * size; i++) image[i] = background;
    for (size_t y = top; y < top + square; y++)
        for (size_t x = left; x < left + square; x++) image[y * size + x] = 1.0f - background;
}

static bool check(const struct shk_squares_options *o, size_t size, size_t square, double invert,
                  struct shk_error *err) {
    if (square > size / GRID)
        return shk_fail(err, SHK_BAD_INPUT,
                        "a square of %zu pixels does not fit a cell of %zu (size %zu / %d): use 1 to %zu", square,
                        size / GRID, size, GRID, size / GRID);
    if (!(invert <= 1)) return shk_fail(err, SHK_BAD_INPUT, "invert is %g, but a probability is 0 to 1", o->invert);
    return true;
}

struct shk_dataset *shk_dataset_squares(const struct shk_squares_options *o, struct shk_error *err) {
    size_t size = o->size ? o->size : USUAL_SIZE, cell = size / GRID;
    size_t square = o->square ? o->square : (size_t)usual("square");
    double invert = o->invert < 0 ? usual("invert") : o->invert;
    struct shk_shape shape = {size, size, 1, GRID * GRID};
    if (!shk_shape_check(&shape, err) || !check(o, size, square, invert, err)) return NULL;
    struct shk_dataset *d = shk_dataset_new(o->n, &shape, err);
    if (!d) return NULL;
    uint64_t threshold = (uint64_t)(invert * 4294967296.0); // of 2^32
    for (size_t i = 0; i < o->n; i++) {
        struct shk_stream stream = shk_stream_of(o->seed, SHK_PURPOSE_SQUARES, 0, o->stream, (uint32_t)i);
        uint32_t words[4];
        shk_stream_words(&stream, 0, words);
        uint32_t label = shk_below(words[0], GRID * GRID), free_pixels = (uint32_t)(cell - square + 1);
        size_t top = label / GRID * cell + shk_below(words[1], free_pixels);
        size_t left = label % GRID * cell + shk_below(words[2], free_pixels);
        draw(d->images + i * size * size, size, top, left, square, words[3] < threshold);
        d->labels[i] = label;
    }
    return d;
}

static bool is_squares(const char *path) { return strcmp(path, "squares") == 0; }

static bool open_squares(const struct shk_request *r, struct shk_data *d, struct shk_error *err) {
    const struct shk_data_options *o = r->options;
    struct shk_squares_options s = {.n = o->train_samples ? o->train_samples : (size_t)usual("train_samples"),
                                    .size = r->shape.height,
                                    .square = o->square,
                                    .invert = o->invert,
                                    .seed = o->seed};
    d->parts[SHK_PART_TRAIN] = shk_dataset_squares(&s, err);
    s.n = o->test_samples ? o->test_samples : (size_t)usual("test_samples");
    s.stream = 1;
    d->parts[SHK_PART_TEST] = d->parts[SHK_PART_TRAIN] ? shk_dataset_squares(&s, err) : NULL;
    return d->parts[SHK_PART_TEST];
}

const struct shk_source_type shk_source_squares = {
    .name = "squares", .what = "squares that are drawn", .is = is_squares, .open = open_squares};
