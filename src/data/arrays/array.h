// SPDX-License-Identifier: MIT
// An array of numbers as IDX and NumPy files hold it: its header, and the images or labels that its numbers are.
#ifndef SHK_DATA_ARRAYS_ARRAY_H
#define SHK_DATA_ARRAYS_ARRAY_H

#include "data/arrays/reader.h"
#include "data/source.h"

enum shk_element {
    SHK_BOOL,
    SHK_U8,
    SHK_I8,
    SHK_U16,
    SHK_I16,
    SHK_U32,
    SHK_I32,
    SHK_U64,
    SHK_I64,
    SHK_F32,
    SHK_F64,
    SHK_ELEMENTS
};

enum { SHK_ARRAY_DIMS = 8 };
struct shk_array {
    char name[160]; // of its file, for sentences
    enum shk_element type;
    bool big_endian;
    bool fortran;      // the first index runs fastest
    bool first_column; // of labels in two dimensions, the first column counts
    unsigned dims;
    size_t dim[SHK_ARRAY_DIMS];
};

const char *shk_element_name(enum shk_element); // "uint8"

// A file of each format, and its header; the reader is before the first number then, and is closed where that fails.
// An IDX file (yann.lecun.com/exdb/mnist) begins with 0, 0, type, dimensions.
bool shk_idx_open(const char *path, struct shk_reader *, struct shk_array *, struct shk_error *);
bool shk_idx_begins(const char *path); // does the file look like one?
// numpy.org/doc/stable/reference/generated/numpy.lib.format.html
bool shk_npy_open(const char *path, struct shk_reader *, struct shk_array *, struct shk_error *);
bool shk_npy_parse(struct shk_reader *, struct shk_array *, struct shk_error *); // in a reader that is open

// ---- Images and labels ----

// Images are [n][h][w], [n][h][w][c] or [n][c][h][w], c = 1 to 4.
struct shk_images {
    size_t n, height, width, channels;
    bool bytes;      // as which they are held: numbers of 8 bits, and whole ones that are divided by 255
    double factor;   // of a number of the file, where they are bytes
    double divisor;  // of it, where they are floats
    bool dear;       // to read: packed, or no bytes
    bool is_divided; // by 255, which bytes are in any case
};
// Finds out how images lie, and what their numbers are: numbers that are no bytes are all read for that. Parts of the same type
// are taken alike (struct shk_pixel_scale).
bool shk_images_look(struct shk_reader *, const struct shk_array *, struct shk_pixel_scale *, struct shk_images *,
                     struct shk_error *);
// Reads them, from the first number on, to where they belong; nothing may follow.
bool shk_images_read(struct shk_reader *, const struct shk_array *, const struct shk_images *, struct shk_dataset *to,
                     struct shk_error *);
// Reads labels: [n] or [n][1], whole numbers from 0 on. classes: as many as there must be; 0: it becomes the greatest label and
// one. shk_free.
uint32_t *shk_labels_read(struct shk_reader *, const struct shk_array *, const struct shk_array *images,
                          size_t *classes, struct shk_error *);

#endif
