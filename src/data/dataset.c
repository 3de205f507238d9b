// SPDX-License-Identifier: MIT
// Makes, copies and frees data sets in memory, and shuffles the order of their samples.
#include "data/dataset.h"

#include "base/memory.h"
#include "base/shape.h"
#include "base/stream.h"
#include "base/text.h"
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { MAX_SAMPLES = 10000000 };

static const float *fetch_own(const struct shk_dataset *d, size_t sample, float *room) {
    (void)room;
    return shk_dataset_image(d, sample);
}

static const float *fetch_bytes(const struct shk_dataset *d, size_t sample, float *room) {
    const size_t channels = d->shape.channels, pixels = shk_dataset_pixels_of(d);
    size_t bytes;
    const uint8_t *from = shk_dataset_stored(d, sample, &bytes);
    if (channels == 1)
        for (size_t i = 0; i < pixels; i++) room[i] = d->of_byte[from[i]];
    else
        for (size_t i = 0; i < pixels; i += channels)
            for (size_t c = 0; c < channels; c++) room[i + c] = d->of_byte[c * 256 + from[i + c]];
    return room;
}

static void normalise(float *x, size_t count, size_t channels, const float *mean, const float *deviation) {
    for (size_t i = 0; i < count; i++) x[i] = (x[i] - mean[i % channels]) / deviation[i % channels];
}

static const float *fetch_made(const struct shk_dataset *d, size_t sample, float *room) {
    d->maker.make(sample, room, d->maker.user);
    return room;
}

// What is held stays as it is: the same memory may be a file's.
static const float *fetch_normalised(const struct shk_dataset *d, size_t sample, float *room) {
    const size_t pixels = shk_dataset_pixels_of(d);
    if (d->maker.make)
        fetch_made(d, sample, room);
    else
        memcpy(room, shk_dataset_image(d, sample), pixels * sizeof(float));
    normalise(room, pixels, d->shape.channels, d->prepared.mean, d->prepared.deviation);
    return room;
}

static void free_block(void *start, size_t mapped) {
    if (mapped)
        munmap(start, mapped);
    else
        shk_free(start);
}

struct shk_pixels *shk_pixels_new(void *start, size_t mapped, struct shk_error *err) {
    struct shk_pixels *p = shk_alloc(1, sizeof *p, "images", err);
    if (p)
        *p = (struct shk_pixels){1, start, mapped};
    else
        free_block(start, mapped);
    return p;
}

void shk_pixels_leave(struct shk_pixels *p) {
    if (!p || --p->users) return;
    free_block(p->start, p->mapped);
    shk_free(p);
}

// ---- Data sets ----

static bool make_table(struct shk_dataset *d, struct shk_error *err) {
    d->of_byte = shk_alloc(d->shape.channels * 256, sizeof(float), "a table of pixels", err);
    if (!d->of_byte) return false;
    for (size_t i = 0; i < d->shape.channels * 256; i++) d->of_byte[i] = (float)(i % 256) / 255.0f;
    return true;
}

static bool check_size(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    return shk_shape_check(shape, err) &&
           ((n >= 1 && n <= MAX_SAMPLES) ||
            shk_fail(err, SHK_BAD_INPUT, "a dataset of %zu samples is not supported: use 1 to %d", n, MAX_SAMPLES));
}

bool shk_dataset_bytes(size_t n, const struct shk_shape *shape, bool bytes, size_t *size, struct shk_error *err) {
    if (!check_size(n, shape, err)) return false;
    const size_t pixels = shape->height * shape->width * shape->channels;
    return !__builtin_mul_overflow(n, pixels * (bytes ? 1 : sizeof(float)), size) ||
           shk_fail(err, SHK_FAILED, "out of memory: %zu images of %zu pixels are more than can be addressed", n,
                    pixels);
}

// d, or NULL where something of it could not be made.
static struct shk_dataset *whole(struct shk_dataset *d, bool ok) {
    if (ok) return d;
    shk_dataset_free(d);
    return NULL;
}

// Labels, and nothing yet to fetch images from.
static struct shk_dataset *new_dataset(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = check_size(n, shape, err) ? shk_alloc(1, sizeof *d, "a dataset", err) : NULL;
    if (!d) return NULL;
    d->n = n;
    d->shape = *shape;
    d->labels = shk_alloc(n, sizeof(uint32_t), "labels", err);
    return whole(d, d->labels);
}

struct shk_dataset *shk_dataset_over(struct shk_pixels *pixels, void *images, bool bytes, size_t n,
                                     const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = new_dataset(n, shape, err);
    if (!d) return NULL;
    d->pixels = pixels;
    pixels->users++;
    d->fetch = bytes ? fetch_bytes : fetch_own;
    d->room_floats = bytes ? shk_dataset_pixels_of(d) : 0;
    if (bytes)
        d->bytes = images;
    else
        d->images = images;
    return whole(d, !bytes || make_table(d, err));
}

static struct shk_dataset *in_memory(size_t n, const struct shk_shape *shape, bool bytes, struct shk_error *err) {
    if (!check_size(n, shape, err)) return NULL;
    const size_t pixels = shape->height * shape->width * shape->channels;
    void *images = shk_alloc(n, pixels * (bytes ? 1 : sizeof(float)), "images", err);
    struct shk_pixels *p = images ? shk_pixels_new(images, 0, err) : NULL;
    struct shk_dataset *d = p ? shk_dataset_over(p, images, bytes, n, shape, err) : NULL;
    shk_pixels_leave(p);
    return d;
}

struct shk_dataset *shk_dataset_new(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    return in_memory(n, shape, false, err);
}

struct shk_dataset *shk_dataset_new_bytes(size_t n, const struct shk_shape *shape, struct shk_error *err) {
    return in_memory(n, shape, true, err);
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

static bool take_labels(struct shk_dataset *d, const uint32_t *labels, struct shk_error *err) {
    if (!check_labels(labels, d->n, &d->shape, err)) return false;
    memcpy(d->labels, labels, d->n * sizeof *labels);
    return true;
}

struct shk_dataset *shk_dataset_copy(const float *images, const uint32_t *labels, size_t n,
                                     const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = shk_dataset_new(n, shape, err);
    if (!d || !take_labels(d, labels, err) || !check_images(images, n, shape, err)) return whole(d, false);
    memcpy(d->images, images, n * shk_dataset_pixels_of(d) * sizeof(float));
    return d;
}

struct shk_dataset *shk_dataset_copy_bytes(const uint8_t *images, const uint32_t *labels, size_t n,
                                           const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = shk_dataset_new_bytes(n, shape, err);
    if (!d || !take_labels(d, labels, err)) return whole(d, false);
    memcpy(d->bytes, images, n * shk_dataset_pixels_of(d));
    return d;
}

struct shk_dataset *shk_dataset_make(const struct shk_image_maker *maker, const uint32_t *labels, size_t n,
                                     const struct shk_shape *shape, struct shk_error *err) {
    struct shk_dataset *d = new_dataset(n, shape, err);
    if (!d || !take_labels(d, labels, err)) return whole(d, false);
    d->maker = *maker;
    d->fetch = fetch_made;
    d->room_floats = shk_dataset_pixels_of(d);
    d->room = shk_alloc(d->room_floats, sizeof *d->room, "an image", err);
    return whole(d, d->room);
}

bool shk_dataset_set_names(struct shk_dataset *d, const struct shk_names *names, struct shk_error *err) {
    struct shk_names copy;
    if (!shk_names_copy(&copy, names, err)) return false;
    shk_names_free(&d->names);
    d->names = copy;
    return true;
}

bool shk_dataset_name_classes(struct shk_dataset *d, const char *const *names, struct shk_error *err) {
    struct shk_names list = {0};
    bool ok = true;
    for (size_t c = 0; ok && c < d->shape.classes; c++)
        ok = shk_is_utf8(names[c], strlen(names[c]))
                 ? shk_names_add(&list, names[c], err)
                 : shk_fail(err, SHK_BAD_INPUT, "the name of class %zu is not UTF-8", c);
    shk_names_free(ok ? &d->names : &list);
    if (ok) d->names = list;
    return ok;
}

struct shk_dataset *shk_dataset_pick(const struct shk_dataset *d, const uint32_t *places, size_t n,
                                     struct shk_error *err) {
    void *images = d->bytes ? (void *)d->bytes : d->images;
    struct shk_dataset *to = shk_dataset_over(d->pixels, images, d->bytes, n, &d->shape, err);
    if (!to || !shk_dataset_set_names(to, &d->names, err)) return whole(to, false);
    to->places = shk_alloc(n, sizeof *to->places, "places of images", err);
    if (!to->places) return whole(to, false);
    for (size_t i = 0; i < n; i++) {
        to->places[i] = d->places ? d->places[places[i]] : places[i];
        to->labels[i] = d->labels[places[i]];
    }
    to->prepared = d->prepared;
    return to;
}

void shk_dataset_free(struct shk_dataset *d) {
    if (!d) return;
    shk_pixels_leave(d->pixels);
    shk_free(d->places);
    shk_free(d->of_byte);
    shk_free(d->room);
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

// The floats of a sample before normalisation.
static const float *raw_floats(const struct shk_dataset *d, size_t sample) {
    if (!d->maker.make) return shk_dataset_image(d, sample);
    d->maker.make(sample, d->room, d->maker.user);
    return d->room;
}

// In pieces, which gives the hash of the whole.
static uint64_t hash_images(const struct shk_dataset *d, XXH64_hash_t seed) {
    XXH3_state_t state;
    size_t bytes;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset_withSeed(&state, seed);
    for (size_t i = 0; i < d->n; i++)
        if (d->bytes)
            XXH3_64bits_update(&state, shk_dataset_stored(d, i, &bytes), shk_dataset_pixels_of(d));
        else
            XXH3_64bits_update(&state, raw_floats(d, i), shk_dataset_pixels_of(d) * sizeof(float));
    return XXH3_64bits_digest(&state);
}

uint64_t shk_dataset_hash(const struct shk_dataset *d) {
    const uint64_t sizes[] = {d->n, d->shape.height, d->shape.width, d->shape.channels, d->shape.classes};
    const XXH64_hash_t hash = XXH3_64bits(sizes, sizeof sizes);
    return hash_images(d, XXH3_64bits_withSeed(d->labels, d->n * sizeof *d->labels, hash));
}

// ---- Normalisation ----

// Each number of channels divides LANES, so that a lane has bytes of one channel.
enum { LANES = 48 };

// The sums of an image's bytes, and of their squares; of at most 256 x 256 x 4 bytes, they fit.
static void sum_image(const uint8_t *image, size_t bytes, uint32_t sum[LANES], uint32_t squares[LANES]) {
    size_t i = 0;
    for (; i + LANES <= bytes; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const uint32_t b = image[i + k];
            sum[k] += b;
            squares[k] += b * b;
        }
    for (size_t k = 0; i < bytes; i++, k++) {
        const uint32_t b = image[i];
        sum[k] += b;
        squares[k] += b * b;
    }
}

// All of these are whole numbers.
static void sum_bytes(const struct shk_dataset *d, double *mean, double *variance) {
    const size_t channels = d->shape.channels;
    const double each = (double)(d->n * (shk_dataset_pixels_of(d) / channels));
    uint64_t sum[SHK_MAX_CHANNELS] = {0}, squares[SHK_MAX_CHANNELS] = {0};
    size_t bytes;
    for (size_t sample = 0; sample < d->n; sample++) {
        uint32_t lane_sum[LANES] = {0}, lane_squares[LANES] = {0};
        const uint8_t *image = shk_dataset_stored(d, sample, &bytes);
        sum_image(image, bytes, lane_sum, lane_squares);
        for (size_t k = 0; k < LANES; k += channels)
            for (size_t c = 0; c < channels; c++) {
                sum[c] += lane_sum[k + c];
                squares[c] += lane_squares[k + c];
            }
    }
    for (size_t c = 0; c < channels; c++) {
        mean[c] = (double)sum[c] / each;
        variance[c] = ((double)squares[c] / each - mean[c] * mean[c]) / (255.0 * 255);
        mean[c] /= 255;
    }
}

// In the order of samples, and of pixels in each.
static void sum_floats(const struct shk_dataset *d, double *mean, double *variance) {
    const size_t channels = d->shape.channels, pixels = shk_dataset_pixels_of(d);
    const double count = (double)(d->n * (pixels / channels));
    double sum[SHK_MAX_CHANNELS] = {0}, squares[SHK_MAX_CHANNELS] = {0};
    for (size_t i = 0; i < d->n; i++) {
        const float *x = raw_floats(d, i);
        for (size_t p = 0; p < pixels; p++) sum[p % channels] += (double)x[p];
    }
    for (size_t c = 0; c < channels; c++) mean[c] = sum[c] / count;
    for (size_t i = 0; i < d->n; i++) {
        const float *x = raw_floats(d, i);
        for (size_t p = 0; p < pixels; p++) {
            const double away = (double)x[p] - mean[p % channels];
            squares[p % channels] += away * away;
        }
    }
    for (size_t c = 0; c < channels; c++) variance[c] = squares[c] / count;
}

void shk_dataset_statistics(const struct shk_dataset *d, float *mean, float *deviation) {
    double m[SHK_MAX_CHANNELS], variance[SHK_MAX_CHANNELS];
    if (d->bytes)
        sum_bytes(d, m, variance);
    else
        sum_floats(d, m, variance);
    for (size_t c = 0; c < d->shape.channels; c++) {
        mean[c] = (float)m[c];
        deviation[c] = (float)fmax(sqrt(fmax(variance[c], 0)), 1e-6);
    }
}

void shk_dataset_normalise(struct shk_dataset *d, const float *mean, const float *deviation) {
    const size_t channels = d->shape.channels;
    if (d->bytes) {
        for (size_t c = 0; c < channels; c++) normalise(d->of_byte + c * 256, 256, 1, mean + c, deviation + c);
    } else {
        d->fetch = fetch_normalised;
        d->room_floats = shk_dataset_pixels_of(d);
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
