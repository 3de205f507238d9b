// SPDX-License-Identifier: MIT
// Reads tests/golden/*.bin: what PyTorch computes for small models (scripts/make_golden.py writes them and describes
// the format).
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stddef.h>
#include <stdint.h>

enum { GOLDEN_NAME = 64, GOLDEN_DESCRIPTION = 2048, GOLDEN_DIMS = 4, GOLDEN_ERROR = 256 };

struct golden_tensor {
    char name[GOLDEN_NAME];
    uint32_t ndim, dims[GOLDEN_DIMS]; // dims beyond ndim are 1
    size_t count;                     // product of dims
    float *data;                      // [count], row-major, in PyTorch's layout
};

struct golden {
    char description[GOLDEN_DESCRIPTION]; // e.g. "cnn:channels=16-32,hidden=128"
    uint32_t channels, height, width;     // of an image
    uint32_t classes, batch;
    uint32_t *labels; // [batch], all below classes
    uint32_t tensors;
    struct golden_tensor *tensor; // [tensors]
};

// Reads a whole file. NULL: error says why in one sentence. Free with golden_free.
struct golden *golden_read(const char *path, char error[GOLDEN_ERROR]);
void golden_free(struct golden *golden);

// The tensor called prefix + name, or NULL. "" + parameter or running statistic: its initial value; "grad/" + parameter: its
// gradient at step 1, from f64; "running/" + running statistic: what it is behind step 1; "error/" + either: [1], how far
// PyTorch's own f32 is off that, where it is far. "images": [batch][height][width][channels]; "losses_f32", "losses_f64":
// [20], the mean loss before each Adam step (lr 1e-3, same batch); "evaluation_f32", "evaluation_f64", where there are running
// statistics: [1], the loss of an evaluation before the first step.
const struct golden_tensor *golden_find(const struct golden *golden, const char *prefix, const char *name);

#endif
