// SPDX-License-Identifier: MIT
// Finds out by their names which arrays are the images and labels of which part, and makes parts of them.
#ifndef SHK_DATA_ARRAYS_PAIRS_H
#define SHK_DATA_ARRAYS_PAIRS_H

#include "data/arrays/array.h"
#include "data/source.h"

// Where arrays lie: a folder, or a zip.
struct shk_array_place {
    const char *path;
    const char *wanted;     // how arrays there are called, for sentences
    struct shk_names names; // of what may be arrays, sorted
    const char *only;       // the images that are meant; NULL: all
    // An array's header; the reader is before its numbers then.
    bool (*open)(const struct shk_array_place *, const char *name, struct shk_reader *, struct shk_array *,
                 struct shk_error *);
    void *zip;
};

// What an array is called is split into words at all that is neither letter nor digit. A word says that it is images (x, images,
// data, ...) or labels (y, labels, targets, ...), and of which part; images and labels that belong together share the rest.
bool shk_array_is_images(const char *name);
// Splits the path of a file into folder and name.
enum { SHK_ARRAY_PATH = 4096 };
bool shk_array_folder(const char *path, char folder[SHK_ARRAY_PATH], const char **name, struct shk_error *);
bool shk_array_path(const char *folder, const char *name, char path[SHK_ARRAY_PATH], struct shk_error *);
// The names of files in a folder that `is` takes (NULL: all), without hidden ones.
bool shk_array_names(const char *folder, bool (*is)(const char *name), struct shk_names *, struct shk_error *);
// Makes the parts that are there, or the one that is asked for.
bool shk_parts_of_arrays(const struct shk_request *, const struct shk_array_place *, struct shk_data *,
                         struct shk_error *);

// A part must have the height, width and channels that are asked for, as far as these are known.
bool shk_part_fits(const struct shk_shape *wanted, const struct shk_shape *, const char *name, struct shk_error *);
// Takes a data set as a part, whose classes that lack samples are said. It is freed where it cannot be.
bool shk_part_take(const struct shk_request *, struct shk_data *, enum shk_part, struct shk_dataset *,
                   struct shk_error *);

#endif
