// SPDX-License-Identifier: MIT
// Chooses the samples of val by hashes of their names.
#include "data/split.h"

#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const double usual = 0.1;

// A sample of the training set.
struct drawn {
    uint64_t hash;
    uint32_t label, place;
};

static int by_class_and_hash(const void *a, const void *b) {
    const struct drawn *x = a, *y = b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static uint64_t hash_of(const struct shk_data *d, size_t place, uint64_t seed) {
    const struct shk_names *names = &d->samples[SHK_PART_TRAIN];
    const uint64_t number = place;
    if (!names->count) return XXH3_64bits_withSeed(&number, sizeof number, seed);
    return XXH3_64bits_withSeed(names->names[place], strlen(names->names[place]), seed);
}

// Marks those that become val; returns how many they are.
static size_t mark(const struct shk_data *d, double split, uint64_t seed, struct drawn *drawn, bool *is_val) {
    const struct shk_dataset *train = d->parts[SHK_PART_TRAIN];
    size_t count = 0;
    for (size_t i = 0; i < train->n; i++) drawn[i] = (struct drawn){hash_of(d, i, seed), train->labels[i], (uint32_t)i};
    qsort(drawn, train->n, sizeof *drawn, by_class_and_hash);
    for (size_t start = 0, end; start < train->n; start = end) {
        for (end = start; end < train->n && drawn[end].label == drawn[start].label;) end++;
        const size_t n = end - start;
        size_t take = (size_t)floor(split * (double)n + 0.5);
        if (take == 0 && n > 1) take = 1;
        if (take == n) take = n - 1;
        for (size_t i = 0; i < take; i++) is_val[drawn[start + i].place] = true;
        count += take;
    }
    return count;
}

// The samples of one side, and their names.
static bool pick(struct shk_data *d, const bool *is_val, bool side, size_t n, struct shk_dataset **out,
                 struct shk_names *names, struct shk_error *err) {
    const struct shk_dataset *train = d->parts[SHK_PART_TRAIN];
    const struct shk_names *from = &d->samples[SHK_PART_TRAIN];
    uint32_t *places = shk_alloc(n, sizeof *places, "a split", err);
    bool ok = places;
    for (size_t i = 0, k = 0; ok && i < train->n; i++) {
        if (is_val[i] != side) continue;
        places[k++] = (uint32_t)i;
        ok = !from->count || shk_names_add(names, from->names[i], err);
    }
    *out = ok ? shk_dataset_pick(train, places, n, err) : NULL;
    shk_free(places);
    return *out;
}

static bool split_by(struct shk_data *d, const bool *is_val, size_t val_count, struct shk_error *err) {
    struct shk_dataset *train = NULL, *val = NULL;
    struct shk_names train_names = {0}, val_names = {0};
    const size_t n = d->parts[SHK_PART_TRAIN]->n;
    if (!pick(d, is_val, false, n - val_count, &train, &train_names, err) ||
        !pick(d, is_val, true, val_count, &val, &val_names, err)) {
        shk_dataset_free(train);
        shk_names_free(&train_names);
        shk_names_free(&val_names);
        return false;
    }
    shk_dataset_free(d->parts[SHK_PART_TRAIN]);
    shk_names_free(&d->samples[SHK_PART_TRAIN]);
    d->parts[SHK_PART_TRAIN] = train;
    d->samples[SHK_PART_TRAIN] = train_names;
    d->parts[SHK_PART_VAL] = val;
    d->samples[SHK_PART_VAL] = val_names;
    return true;
}

bool shk_data_split(struct shk_data *d, const struct shk_data_options *o, struct shk_error *err) {
    const bool asked = o->split > 0, needed = !d->parts[SHK_PART_VAL] && !d->parts[SHK_PART_TEST];
    const double split = asked ? o->split : usual;
    if (!asked && !needed) return true;
    if (d->parts[SHK_PART_VAL])
        return shk_fail(err, SHK_BAD_INPUT, "the data have a val part already: a split of %g would make another",
                        split);
    const size_t n = d->parts[SHK_PART_TRAIN]->n;
    struct drawn *drawn = shk_alloc(n, sizeof *drawn, "a split", err);
    bool *is_val = shk_alloc(n, sizeof *is_val, "a split", err);
    const size_t count = drawn && is_val ? mark(d, split, o->seed, drawn, is_val) : 0;
    bool ok = drawn && is_val;
    if (ok && count == 0)
        ok = shk_fail(err, SHK_BAD_INPUT, "no class has two training samples: there is nothing to choose on");
    ok = ok && split_by(d, is_val, count, err);
    shk_free(drawn);
    shk_free(is_val);
    if (ok && !asked)
        shk_data_note(o,
                      "there is neither val nor test: %zu of %zu training samples, a tenth of each class, become val",
                      count, n);
    return ok;
}
