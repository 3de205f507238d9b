// SPDX-License-Identifier: MIT
// Makes, copies and frees data sets in memory, and shuffles the order of their samples.
#include "data/dataset.h"

#include "base/memory.h"
#include "base/shape.h"
#include "base/stream.h"
#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAX_SAMPLES = 10000000 };

static const float *fetch_own(const struct shk_dataset *d, size_t sample, float *room) {
    (void)room;
    return d->images + sample * shk_dataset_pixels_of(d);
}

static const float *fetch_bytes(const struct shk_dataset *d, size_t sample, float *room) {
    const size_t channels = d->shape.channels, pixels = shk_dataset_pixels_of(d);
    const uint8_t *from = d->bytes + sample * pixels;
    if (channels == 1)
        for (size_t i = 0; i < pixels; i++) room[i] = d->of_byte[from[i]];
    else
        for (size_t i = 0; i < pixels; i += channels)
            for (size_t c = 0; c < channels; c++) room[i + c] = d->of_byte[c * 256 + from[i + c]];
    return room;
}

static bool alloc_pixels(struct shk_dataset *d, bool bytes, struct shk_error *err) {
    if (!bytes) {
        d->fetch = fetch_own;
        d->images = shk_alloc(d->n, shk_dataset_pixels_of(d) * sizeof(float), "images", err);
        return d->images;
    }
    d->fetch = fetch_bytes;
    d->room_floats = shk_dataset_pixels_of(d);
    d->bytes = shk_alloc(d->n, shk_dataset_pixels_of(d), "images", err);
    d->of_byte = shk_alloc(d->shape.channels * 256, sizeof(float), "a table of pixels", err);
    if (!d->bytes || !d->of_byte) return false;
    for (size_t i = 0; i < d->shape.channels * 256; i++) d->of_byte[i] = (float)(i % 256) / 255.0f;
    return true;
}

static struct shk_dataset *new_dataset(size_t n, const struct shk_shape *shape, bool bytes, struct shk_error *err) {
    if (!shk_shape_check(shape, err)) return NULL;
    if (n < 1 || n > MAX_SAMPLES) {
        shk_fail(err, SHK_BAD_INPUT, "a dataset of %zu samples is not supported: use 1 to %d", n, MAX_SAMPLES);
        return NULL;
    }
    struct shk_dataset *d = shk_alloc(1, sizeof *d, "a dataset", err);
    if (!d) return NULL;
    d->n = n;
    d->shape = *shape;
    d->labels = shk_alloc(n, sizeof(uint32_t), "labels", err);
    if (d->labels && alloc_pixels(d, bytes, err)) return d;
    shk_dataset_free(d);
    return NULL;
}

struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    return new_dataset(n, shape, false, err);
}

struct shk_dataset *shk_dataset_new_bytes(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    return new_dataset(n, shape, true, err);
}

static bool check_labels(const uint32_t *labels, size_t n, const struct shk_shape *shape, struct shk_error *err) {
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= shape->classes)
            return shk_fail(err, SHK_BAD_INPUT, "label %zu is %u, but there are %zu classes (0 to %zu)", i, labels[i],
                            shape->classes, shape->classes - 1);
    return true;
}

static bool check_images(const float *images, size_t n, const struct shk_shape *shape, struct shk_error *err) {
    size_t pixels = shape->height * shape->width * shape->channels;
    for (size_t i = 0; i < n * pixels; i++)
        if (!isfinite(images[i]))
            return shk_fail(err, SHK_BAD_INPUT, "image %zu holds %g, but pixels must be finite", i / pixels,
                            (double)images[i]);
    return true;
}

struct shk_dataset *shk_dataset_copy(const float *images, const uint32_t *labels, size_t n,
                                     const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = shk_dataset_new(n, shape, err);
    if (!d) return NULL;
    if (!check_labels(labels, n, shape, err) || !check_images(images, n, shape, err)) {
        shk_dataset_free(d);
        return NULL;
    }
    memcpy(d->images, images, n * shk_dataset_pixels_of(d) * sizeof(float));
    memcpy(d->labels, labels, n * sizeof(uint32_t));
    return d;
}

struct shk_dataset *shk_dataset_copy_bytes(const uint8_t *images, const uint32_t *labels, size_t n,
                                           const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = shk_dataset_new_bytes(n, shape, err);
    if (!d) return NULL;
    if (!check_labels(labels, n, shape, err)) {
        shk_dataset_free(d);
        return NULL;
    }
    memcpy(d->bytes, images, n * shk_dataset_pixels_of(d));
    memcpy(d->labels, labels, n * sizeof(uint32_t));
    return d;
}

bool shk_dataset_set_names(struct shk_dataset *d, const struct shk_names *names, struct shk_error *err) {
    struct shk_names copy;
    if (!shk_names_copy(&copy, names, err)) return false;
    shk_names_free(&d->names);
    d->names = copy;
    return true;
}

struct shk_dataset *shk_dataset_pick(const struct shk_dataset *d, const uint32_t *places, size_t n,
                                     struct shk_error *err) {
    struct shk_dataset *to = new_dataset(n, &d->shape, d->bytes, err);
    if (!to) return NULL;
    if (!shk_dataset_set_names(to, &d->names, err)) {
        shk_dataset_free(to);
        return NULL;
    }
    size_t bytes;
    for (size_t i = 0; i < n; i++) {
        const void *from = shk_dataset_stored(d, places[i], &bytes);
        memcpy(d->bytes ? (char *)to->bytes + i * bytes : (char *)to->images + i * bytes, from, bytes);
        to->labels[i] = d->labels[places[i]];
    }
    if (d->bytes) memcpy(to->of_byte, d->of_byte, d->shape.channels * 256 * sizeof(float));
    to->prepared = d->prepared;
    return to;
}

void shk_dataset_free(struct shk_dataset *d) {
    if (!d) return;
    shk_free(d->images);
    shk_free(d->bytes);
    shk_free(d->of_byte);
    shk_free(d->labels);
    shk_names_free(&d->names);
    shk_free(d);
}

size_t shk_dataset_size(const struct shk_dataset *d) { return d->n; }
struct shk_shape shk_dataset_shape(const struct shk_dataset *d) {
    return d->shape;
}

void shk_dataset_pixels(const struct shk_dataset *d, size_t i, float *out) {
    const float *image = shk_dataset_fetch(d, i, out);
    if (image != out) memcpy(out, image, shk_dataset_pixels_of(d) * sizeof(float));
}

const char *shk_dataset_class(const struct shk_dataset *d, size_t label) {
    return label < d->names.count ? d->names.names[label] : NULL;
}
struct shk_preprocessing shk_dataset_preprocessing(const struct shk_dataset *d) {
    return d->prepared;
}
uint32_t shk_dataset_label(const struct shk_dataset *d, size_t i) { return d->labels[i]; }

uint64_t shk_dataset_hash(const struct shk_dataset *d) {
    const uint64_t sizes[] = {d->n, d->shape.height, d->shape.width, d->shape.channels, d->shape.classes};
    const size_t pixels = d->n * shk_dataset_pixels_of(d);
    XXH64_hash_t hash = XXH3_64bits(sizes, sizeof sizes);
    hash = XXH3_64bits_withSeed(d->labels, d->n * sizeof *d->labels, hash);
    return d->bytes ? XXH3_64bits_withSeed(d->bytes, pixels, hash)
                    : XXH3_64bits_withSeed(d->images, pixels * sizeof *d->images, hash);
}

// ---- Normalisation ----

// The sums of bytes and of their squares are whole numbers.
static void sum_bytes(const struct shk_dataset *d, size_t channel, double *mean, double *variance) {
    const size_t count = d->n * shk_dataset_pixels_of(d), each = count / d->shape.channels;
    uint64_t sum = 0, squares = 0;
    for (size_t i = channel; i < count; i += d->shape.channels) {
        const uint64_t b = d->bytes[i];
        sum += b;
        squares += b * b;
    }
    *mean = (double)sum / (double)each;
    *variance = (double)squares / (double)each - *mean * *mean;
    *mean /= 255;
    *variance /= 255.0 * 255;
}

static void sum_floats(const struct shk_dataset *d, size_t channel, double *mean, double *variance) {
    const size_t count = d->n * shk_dataset_pixels_of(d), channels = d->shape.channels;
    double sum = 0, squares = 0;
    for (size_t i = channel; i < count; i += channels) sum += (double)d->images[i];
    *mean = sum / (double)(count / channels);
    for (size_t i = channel; i < count; i += channels) {
        const double away = (double)d->images[i] - *mean;
        squares += away * away;
    }
    *variance = squares / (double)(count / channels);
}

void shk_dataset_statistics(const struct shk_dataset *d, float *mean, float *deviation) {
    for (size_t c = 0; c < d->shape.channels; c++) {
        double m, variance;
        (d->bytes ? sum_bytes : sum_floats)(d, c, &m, &variance);
        mean[c] = (float)m;
        deviation[c] = (float)fmax(sqrt(fmax(variance, 0)), 1e-6);
    }
}

void shk_dataset_normalise(struct shk_dataset *d, const float *mean, const float *deviation) {
    const size_t channels = d->shape.channels, count = d->bytes ? channels * 256 : d->n * shk_dataset_pixels_of(d);
    float *x = d->bytes ? d->of_byte : d->images;
    for (size_t i = 0; i < count; i++) {
        const size_t c = d->bytes ? i / 256 : i % channels;
        x[i] = (x[i] - mean[c]) / deviation[c];
    }
    d->prepared.normalised = true;
    memcpy(d->prepared.mean, mean, channels * sizeof *mean);
    memcpy(d->prepared.deviation, deviation, channels * sizeof *deviation);
}

// ---- Shuffling ----

void shk_shuffle(uint32_t *order, size_t n, uint64_t seed, uint32_t epoch) {
    struct shk_stream stream = shk_stream_of(seed, SHK_PURPOSE_SHUFFLE, 0, epoch, 0);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        uint32_t words[4];
        shk_stream_words(&stream, (uint32_t)i, words);
        uint32_t j = shk_below(words[0], (uint32_t)i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}
