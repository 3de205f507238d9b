// SPDX-License-Identifier: MIT
// SquareDataset, the founding experiment's data: where in a 3x3 grid is the square?
#include "base/shape.h"
#include "base/stream.h"
#include "data/dataset.h"
#include "data/source.h"

enum { GRID = 3 };

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
    const struct shk_data_settings defaults = shk_settings_defaults().data;
    size_t size = o->size ? o->size : defaults.size, square = o->square ? o->square : defaults.square,
           cell = size / GRID;
    double invert = o->invert < 0 ? defaults.invert : o->invert;
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

static struct shk_dataset *open_squares(const struct shk_run_settings *run, enum shk_part part, struct shk_error *err) {
    const struct shk_data_settings *s = &run->data;
    const struct shk_squares_options options = {.n = part == SHK_PART_TRAIN ? s->train_samples : s->test_samples,
                                                .size = s->size,
                                                .square = s->square,
                                                .invert = s->invert,
                                                .seed = run->train.seed,
                                                .stream = part == SHK_PART_TRAIN ? 0 : 1};
    return shk_dataset_squares(&options, err);
}

const struct shk_source_type shk_source_squares = {.name = "squares", .open = open_squares};
