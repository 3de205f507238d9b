// SPDX-License-Identifier: MIT
// An array of numbers as IDX and NumPy files hold it, and the data set that one of images and one of labels make.
#ifndef SHK_DATA_ARRAYS_ARRAY_H
#define SHK_DATA_ARRAYS_ARRAY_H

#include "data/arrays/reader.h"
#include "data/dataset.h"

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
    bool fortran; // the first index runs fastest
    unsigned dims;
    size_t dim[SHK_ARRAY_DIMS];
    unsigned char *data; // shk_free
};

unsigned shk_element_bytes(enum shk_element);
const char *shk_element_name(enum shk_element); // "uint8"
// Reads what name, type, order and sizes say; nothing may follow.
bool shk_array_read(struct shk_array *, struct shk_reader *, struct shk_error *);
void shk_array_free(struct shk_array *);

// A file of each format. An IDX file (yann.lecun.com/exdb/mnist) begins with 0, 0, type, dimensions.
bool shk_idx_read(const char *path, struct shk_array *, struct shk_error *);
bool shk_idx_begins(const char *path); // does the file look like one?
// numpy.org/doc/stable/reference/generated/numpy.lib.format.html
bool shk_npy_read(const char *path, struct shk_array *, struct shk_error *);
bool shk_npy_parse(struct shk_reader *, struct shk_array *, struct shk_error *);

// What becomes of numbers that are no bytes: those above 1 and up to 255 are divided by 255, others stay as they are. Parts of
// the same type are taken alike: what the first one was is kept here for the others.
struct shk_scale {
    bool known;
    enum shk_element type;
    bool by_255;
    double most; // the largest number
    bool last;   // out: whether the array that was read last is divided by 255
};
// Images [n][h][w], [n][h][w][c] or [n][c][h][w], c = 1 to 4; labels [n] or [n][1], whole numbers from 0 on. classes: as many
// as there must be; 0: the greatest label and one. Numbers of 8 bits stay bytes, and so do whole ones that are divided by 255.
struct shk_dataset *shk_dataset_of_arrays(const struct shk_array *images, const struct shk_array *labels,
                                          size_t classes, struct shk_scale *, struct shk_error *);

#endif
