// SPDX-License-Identifier: MIT
// Finds samples that are equal or alike, and those without any structure.
#include "base/memory.h"
#include "base/runtime.h"
#include "data/alike.h"
#include "data/source.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

// Mean distance of grey of two images that are alike, in the mean distance of the first's from its mean.
static const float most_apart = 0.2f;

// All samples stand in one row: those of train, then val, then test.
struct look {
    const struct shk_data *data;
    struct shk_shape shape;
    size_t begin[SHK_PARTS + 1]; // where each part begins in that row
    size_t n, pixels;
    float *rooms; // [2 * workers][pixels]
    // [n]
    uint64_t *hash; // of all pixels
    bool *constant;
    struct shk_signature *signature;
    uint32_t *first; // that shows the same; itself where there is none
    bool *equal;     // and that one has the same pixels
};

static struct shk_sample sample_of(const struct look *l, size_t i) {
    unsigned part = 0;
    while (i >= l->begin[part + 1]) part++;
    return (struct shk_sample){part, i - l->begin[part]};
}

static const float *fetch(const struct look *l, size_t i, float *room) {
    const struct shk_sample s = sample_of(l, i);
    return shk_dataset_fetch(l->data->parts[s.part], s.index, room);
}

static bool is_constant(const float *image, const struct look *l) {
    for (size_t i = l->shape.channels; i < l->pixels; i++)
        if (image[i] != image[i - l->shape.channels]) return false;
    return true;
}

static void look_at(void *arg, unsigned worker, unsigned workers) {
    const struct look *l = arg;
    float *room = l->rooms + 2 * worker * l->pixels;
    for (size_t i = l->n * worker / workers; i < l->n * (worker + 1) / workers; i++) {
        const float *image = fetch(l, i, room);
        l->hash[i] = XXH3_64bits(image, l->pixels * sizeof *image);
        l->constant[i] = is_constant(image, l);
        l->signature[i] = shk_signature_of(image, &l->shape);
        l->first[i] = (uint32_t)i;
    }
}

// ---- Equal ones ----

struct hashed {
    uint64_t hash;
    uint32_t sample;
};

static int by_hash(const void *a, const void *b) {
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static bool are_equal(const struct look *l, size_t a, size_t b) {
    const float *x = fetch(l, a, l->rooms), *y = fetch(l, b, l->rooms + l->pixels);
    return memcmp(x, y, l->pixels * sizeof *x) == 0;
}

static bool find_equal(const struct look *l, struct shk_error *err) {
    struct hashed *all = shk_alloc(l->n, sizeof *all, "hashes of samples", err);
    if (!all) return false;
    for (size_t i = 0; i < l->n; i++) all[i] = (struct hashed){l->hash[i], (uint32_t)i};
    qsort(all, l->n, sizeof *all, by_hash);
    for (size_t i = 0, first = 0; i < l->n; i++) {
        if (all[i].hash != all[first].hash) first = i;
        if (i == first || !are_equal(l, all[first].sample, all[i].sample)) continue;
        l->first[all[i].sample] = all[first].sample;
        l->equal[all[i].sample] = true;
    }
    shk_free(all);
    return true;
}

// ---- Those that are alike ----

static float grey_at(const float *image, size_t channels) {
    float sum = 0;
    for (size_t c = 0; c < channels; c++) sum += image[c];
    return sum;
}

static bool are_alike(void *user, size_t a, size_t b) {
    const struct look *l = user;
    const size_t channels = l->shape.channels;
    const float *x = fetch(l, a, l->rooms), *y = fetch(l, b, l->rooms + l->pixels);
    float mean = 0, contrast = 0, apart = 0;
    for (size_t i = 0; i < l->pixels; i += channels) mean += grey_at(x + i, channels);
    mean /= (float)(l->pixels / channels);
    for (size_t i = 0; i < l->pixels; i += channels) {
        const float grey = grey_at(x + i, channels);
        contrast += fabsf(grey - mean);
        apart += fabsf(grey - grey_at(y + i, channels));
    }
    return apart <= most_apart * contrast;
}

// Of several that are equal the first one stands for all.
static bool find_alike(struct look *l, struct shk_error *err) {
    uint32_t *which = shk_alloc(l->n, sizeof *which, "a list of samples", err);
    size_t count = 0;
    if (!which) return false;
    for (size_t i = 0; i < l->n; i++)
        if (l->signature[i].contrast > 0 && !l->constant[i] && !l->equal[i]) which[count++] = (uint32_t)i;
    const bool ok = shk_find_alike(l->signature, which, count, are_alike, l, l->first, err);
    shk_free(which);
    return ok;
}

// ---- All of it ----

static bool begin(struct look *l, const struct shk_data *d, unsigned workers, struct shk_error *err) {
    l->data = d;
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct shk_dataset *set = d->parts[part];
        if (set) l->shape = set->shape;
        l->begin[part + 1] = l->n += set ? set->n : 0;
    }
    l->pixels = l->shape.height * l->shape.width * l->shape.channels;
    l->rooms = shk_alloc(2 * workers, l->pixels * sizeof *l->rooms, "images", err);
    l->hash = shk_alloc(l->n, sizeof *l->hash, "hashes of samples", err);
    l->constant = shk_alloc(l->n, sizeof *l->constant, "marks of samples", err);
    l->signature = shk_alloc(l->n, sizeof *l->signature, "small images", err);
    l->first = shk_alloc(l->n, sizeof *l->first, "a list of samples", err);
    l->equal = shk_alloc(l->n, sizeof *l->equal, "marks of samples", err);
    return l->rooms && l->hash && l->constant && l->signature && l->first && l->equal;
}

static void end(struct look *l) {
    shk_free(l->rooms);
    shk_free(l->hash);
    shk_free(l->constant);
    shk_free(l->signature);
    shk_free(l->first);
    shk_free(l->equal);
}

static bool report(const struct look *l, struct shk_findings *f, struct shk_error *err) {
    for (size_t i = 0; i < l->n; i++) {
        f->constants += l->constant[i];
        f->sames += l->first[i] != i;
    }
    f->constant = shk_alloc(f->constants + 1, sizeof *f->constant, "findings", err);
    f->same = shk_alloc(f->sames + 1, sizeof *f->same, "findings", err);
    if (!f->constant || !f->same) return false;
    for (size_t i = 0, constants = 0, sames = 0; i < l->n; i++) {
        if (l->constant[i]) f->constant[constants++] = sample_of(l, i);
        if (l->first[i] == i) continue;
        f->same[sames++] = (struct shk_same){sample_of(l, i), sample_of(l, l->first[i]), l->equal[i]};
    }
    return true;
}

struct shk_findings *shk_data_findings(const struct shk_data *d, const struct shk_runtime *runtime,
                                       struct shk_error *err) {
    struct shk_findings *f = shk_alloc(1, sizeof *f, "findings", err);
    struct look l = {0};
    bool ok = f && begin(&l, d, runtime ? runtime->team.workers : 1, err);
    if (ok && runtime)
        runtime->team.run(&runtime->team, look_at, &l);
    else if (ok)
        look_at(&l, 0, 1);
    ok = ok && find_equal(&l, err) && find_alike(&l, err) && report(&l, f, err);
    end(&l);
    if (ok) return f;
    shk_findings_free(f);
    return NULL;
}

void shk_findings_free(struct shk_findings *f) {
    if (!f) return;
    shk_free(f->constant);
    shk_free(f->same);
    shk_free(f);
}
