// SPDX-License-Identifier: MIT
// Opens data from one of several sources, each of them a file of this folder and a line of sources.def.
#ifndef SHK_DATA_SOURCE_H
#define SHK_DATA_SOURCE_H

#include "base/names.h"
#include "base/team.h"
#include "data/dataset.h"

// How numbers that are no bytes became pixels: those above 1 and up to 255 are divided by 255, others stay as they are. Parts of
// the same type are taken alike, also where they lie apart: what the first one was is kept for the others.
struct shk_pixel_scale {
    bool known;
    unsigned type; // enum shk_element (data/arrays/array.h)
    bool by_255;
    double most; // the largest number
};

// What a source is asked for.
struct shk_request {
    const struct shk_data_options *options;
    const char *path;            // of the file or folder
    const struct shk_team *team; // NULL: the calling thread alone
    // SHK_PARTS: the path holds all parts, and the source finds out which. Else it is this part as a whole.
    enum shk_part part;
    // The shape and the classes that the data must get: of the training set that was opened before, or of a model.
    // height 0: by what is found; classes 0: by what is found (names: the classes', where they have any).
    struct shk_shape shape;
    const struct shk_names *names;
    struct shk_preprocessing prepared; // fit and background
    int64_t begun;                     // ns since 1970, before a file of the data was looked at
    struct shk_cache *cache;           // where what is made now is to be kept (data/cache.h); NULL: nowhere
};

struct shk_data {
    const struct shk_source_type *source;
    struct shk_dataset *parts[SHK_PARTS]; // NULL: there is none
    // For what has no place in a data set: what the samples of each part are called, one name each, in their order
    // (the path within its class for files); count 0: they have numbers only.
    struct shk_names samples[SHK_PARTS];
    struct shk_pixel_scale scale;
};

struct shk_source_type {
    const char *name; // "folder"
    const char *what; // "a folder of pictures in folders of classes", for sentences
    // Whether a file or folder looks like one of its kind, by its content; cheap, and silent where it is not.
    bool (*is)(const char *path);
    // Reads it. Parts that are made are complete: labels, names of classes (shk_dataset_set_names) and shape, but not normalised.
    bool (*open)(const struct shk_request *, struct shk_data *, struct shk_error *);
};

// What data must become where a model is there already.
struct shk_wanted {
    struct shk_shape shape;
    const struct shk_names *names;
    struct shk_preprocessing prepared;
};
// As shk_data_open; wanted: NULL where nothing is.
struct shk_data *shk_data_open_as(const struct shk_wanted *, const struct shk_data_options *,
                                  const struct shk_runtime *, struct shk_error *);

// A sentence for options->on_note or on_bad.
void shk_data_note(const struct shk_data_options *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void shk_data_bad(const struct shk_data_options *, const char *sentence);

#define SHK_SOURCE(name) extern const struct shk_source_type shk_source_##name;
#include "data/sources.def"
#undef SHK_SOURCE

#endif
