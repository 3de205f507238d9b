// SPDX-License-Identifier: MIT
// Writes data into files, a form each in a file of this folder.
#ifndef SHK_DATA_WRITE_WRITE_H
#define SHK_DATA_WRITE_WRITE_H

#include "base/file.h"
#include "base/folder.h"
#include "data/source.h"

struct shk_writing {
    const struct shk_data *data;
    const char *path;               // of what is made
    const struct shk_folder *fresh; // the folder that becomes it; NULL: it is a file
    uint8_t *bytes;                 // [height][width][channels]: room for a sample
    struct shk_png *png;            // room for a picture
    struct shk_write_options options;
};

bool shk_write_folder(const struct shk_writing *, struct shk_error *);
bool shk_write_csv(const struct shk_writing *, struct shk_error *);
bool shk_write_idx(const struct shk_writing *, struct shk_error *);
bool shk_write_cifar(const struct shk_writing *, struct shk_error *);
bool shk_write_npz(const struct shk_writing *, struct shk_error *);

// ---- For the forms ----

extern const char *const shk_written_parts[SHK_PARTS]; // "train", ...
void shk_writing_note(const struct shk_writing *, const char *sentence);
// Before each sample: whether the caller still wants it.
bool shk_writing_goes_on(const struct shk_writing *, struct shk_error *);
// A file of that name in the folder.
bool shk_writing_create(const struct shk_writing *, struct shk_file_out *, const char *name, struct shk_error *);
// The shape of all parts.
struct shk_shape shk_writing_shape(const struct shk_writing *);
// A sample as bytes, in w->bytes; false: a pixel is no whole 255th.
bool shk_writing_bytes(const struct shk_writing *, enum shk_part, size_t sample, struct shk_error *);
// Whether each class from the one of that label on has a sample of train: who reads the form learns from these which there are.
bool shk_writing_knows_classes(const struct shk_writing *, size_t from, struct shk_error *);
// What a class is called, or its number as text.
const char *shk_writing_class(const struct shk_writing *, size_t label, char number[24]);

#endif
