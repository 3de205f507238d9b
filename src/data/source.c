// SPDX-License-Identifier: MIT
// Finds out what data are, has a source read them, and makes of them what a training needs: val, and normalised pixels.
#include "data/source.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/runtime.h"
#include "data/split.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SHK_SOURCE(name) &shk_source_##name,
static const struct shk_source_type *const types[] = {
#include "data/sources.def"
};
#undef SHK_SOURCE
enum { TYPES = sizeof types / sizeof *types };

// ---- Sentences ----

void shk_data_note(const struct shk_data_options *o, const char *format, ...) {
    char text[sizeof((struct shk_error *)0)->text];
    if (!o->on_note) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    o->on_note(text, o->user);
}

void shk_data_bad(const struct shk_data_options *o, const char *sentence) {
    if (o->on_bad) o->on_bad(sentence, o->user);
}

// ---- Which source ----

static bool is_unknown(const char *path, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    struct stat s;
    if (stat(path, &s) != 0) return shk_cannot(path, "read", errno, shk_reading_code(errno), err);
    return shk_fail(
        err, SHK_BAD_INPUT,
        "%s: %s holds no data that are known: wanted is a folder of pictures (PNG, JPEG) in a folder for each "
        "class, a .csv of path,label lines, IDX, .npz, a folder of .npy, or CIFAR files",
        shk_shown_path(path, shown), S_ISDIR(s.st_mode) ? "this folder" : "this file");
}

static const struct shk_source_type *source_of(const char *path, struct shk_error *err) {
    for (size_t i = 0; i < TYPES; i++)
        if (types[i]->is(path)) return types[i];
    is_unknown(path, err);
    return NULL;
}

// ---- Opening ----

static struct shk_request request_of(const struct shk_wanted *w, const struct shk_data_options *o,
                                     const struct shk_runtime *runtime) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct shk_request r = {.options = o,
                            .part = SHK_PARTS,
                            .team = runtime ? &runtime->team : NULL,
                            .begun = now.tv_sec * INT64_C(1000000000) + now.tv_nsec};
    if (w) {
        r.shape = w->shape;
        r.names = w->names->count ? w->names : NULL;
        r.prepared = w->prepared;
    } else {
        r.shape = (struct shk_shape){o->size, o->size, o->channels, 0};
        r.prepared = (struct shk_preprocessing){.fit = o->fit, .background = o->background};
    }
    return r;
}

static bool open_path(struct shk_data *d, struct shk_request *r, const char *path, enum shk_part part,
                      struct shk_error *err) {
    const struct shk_source_type *source = source_of(path, err);
    if (!source) return false;
    if (!d->source) d->source = source;
    r->path = path;
    r->part = part;
    return source->open(r, d, err);
}

// A part that lies apart must get the shape and the classes of training.
static bool open_apart(struct shk_data *d, struct shk_request *r, const struct shk_data_options *o,
                       struct shk_error *err) {
    if (!open_path(d, r, o->train, SHK_PART_TRAIN, err)) return false;
    if (!o->test) return true;
    const struct shk_dataset *train = d->parts[SHK_PART_TRAIN];
    r->shape = train->shape;
    r->names = train->names.count ? &train->names : NULL;
    return open_path(d, r, o->test, SHK_PART_TEST, err);
}

static bool check_options(const struct shk_data_options *o, struct shk_error *err) {
    if (o->spec && (o->train || o->test))
        return shk_fail(err, SHK_BAD_INPUT,
                        "data are named as a whole, or as training data and test data, but not as both");
    if (!o->spec && !o->train) return shk_fail(err, SHK_BAD_INPUT, "no training data are named");
    if (!(o->split >= 0 && o->split < 1))
        return shk_fail(err, SHK_BAD_INPUT, "a split of %g makes no sense: it is above 0 and below 1", o->split);
    if (o->background > 255)
        return shk_fail(err, SHK_BAD_INPUT, "a background of %u makes no sense: it is 0 to 255", o->background);
    if (o->channels != 0 && o->channels != 1 && o->channels != 3)
        return shk_fail(err, SHK_BAD_INPUT, "pictures of %zu channels are not made: use 1 or 3", o->channels);
    return true;
}

// ---- What becomes of the parts ----

static void normalise(struct shk_data *d, const struct shk_preprocessing *as) {
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (d->parts[part] && as->normalised) shk_dataset_normalise(d->parts[part], as->mean, as->deviation);
}

// Pixels that were drawn are 0 and 1, and stay so.
static struct shk_preprocessing normalisation_of(const struct shk_data *d, const struct shk_data_options *o) {
    struct shk_preprocessing as = {.normalised = o->normalise != SHK_NORMALISE_NONE};
    if (o->normalise == SHK_NORMALISE_AUTO) {
        as.normalised = d->source != &shk_source_squares;
        if (as.normalised) shk_dataset_statistics(d->parts[SHK_PART_TRAIN], as.mean, as.deviation);
    } else if (o->normalise == SHK_NORMALISE_GIVEN) {
        memcpy(as.mean, o->mean, sizeof as.mean);
        memcpy(as.deviation, o->deviation, sizeof as.deviation);
    }
    return as;
}

static bool read_parts(struct shk_data *d, struct shk_request *r, const struct shk_data_options *o,
                       struct shk_error *err) {
    return o->spec ? open_path(d, r, o->spec, SHK_PARTS, err) : open_apart(d, r, o, err);
}

static bool prepare(struct shk_data *d, const struct shk_wanted *w, const struct shk_data_options *o,
                    struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    if (!w && !d->parts[SHK_PART_TRAIN])
        return shk_fail(err, SHK_BAD_INPUT, "%s holds no training data",
                        shk_shown_path(o->spec ? o->spec : o->train, shown));
    if (d->parts[SHK_PART_TRAIN] && !shk_data_split(d, o, err)) return false;
    const struct shk_preprocessing as = w ? w->prepared : normalisation_of(d, o);
    normalise(d, &as);
    return true;
}

struct shk_data *shk_data_open_as(const struct shk_wanted *w, const struct shk_data_options *o,
                                  const struct shk_runtime *runtime, struct shk_error *err) {
    if (!check_options(o, err)) return NULL;
    struct shk_data *d = shk_alloc(1, sizeof *d, "data", err);
    struct shk_request r = request_of(w, o, runtime);
    if (!d || (read_parts(d, &r, o, err) && prepare(d, w, o, err))) return d;
    shk_data_free(d);
    return NULL;
}

struct shk_data *shk_data_open(const struct shk_data_options *o, const struct shk_runtime *runtime,
                               struct shk_error *err) {
    return shk_data_open_as(NULL, o, runtime, err);
}

void shk_data_free(struct shk_data *d) {
    for (unsigned part = 0; d && part < SHK_PARTS; part++) {
        shk_dataset_free(d->parts[part]);
        shk_names_free(&d->samples[part]);
    }
    shk_free(d);
}

const char *shk_data_source(const struct shk_data *d) { return d->source->name; }
const struct shk_dataset *shk_data_part(const struct shk_data *d, enum shk_part part) { return d->parts[part]; }

const char *shk_data_sample(const struct shk_data *d, enum shk_part part, size_t index) {
    const struct shk_names *names = &d->samples[part];
    return index < names->count ? names->names[index] : NULL;
}
