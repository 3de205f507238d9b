// SPDX-License-Identifier: MIT
// A parameter is a tensor of the model's weights: what it means as PyTorch has it, and where its numbers lie.
#ifndef SHK_NN_PARAM_H
#define SHK_NN_PARAM_H

#include <kernels.h>
#include <stdbool.h>
#include <stddef.h>

// One digit of an index in mixed radix; digits[0] is the slowest. Maps PyTorch's index of an axis to ours, with our
// padding.
struct shk_axis {
    unsigned count; // of digits; 0: the axis has extent 1
    struct {
        size_t extent, stride;
    } digits[3];
};
static inline struct shk_axis shk_axis1(size_t n) { return (struct shk_axis){1, {{n, 1}}}; }
size_t shk_axis_extent(const struct shk_axis *);
bool shk_axis_equal(const struct shk_axis *, const struct shk_axis *);

enum shk_init { SHK_INIT_CONSTANT, SHK_INIT_UNIFORM, SHK_INIT_NORMAL };

enum shk_param_layout {
    SHK_NO_LAYOUT, // nobody has chosen one yet
    SHK_ROWS,      // element (o, i) at o * ld + i: vectors, embeddings, and the taps of a 3x3 convolution
    SHK_PANELS, // element (o, i) at (o / 16) * (ld * 16) + i * 16 + o % 16: a weight [out][in] as panels of in x out;
                // ld = padded in
    SHK_INPUT_TILES, // element (o, i) at t * (64 * ld) + o * width + i % 64, where t = i / 64 and width is 64, or in the
                     // last tile what is left of padded in; ld = padded out
};
enum { SHK_INPUT_TILE = 64 };

struct shk_param;
// A second form of a parameter, which follows from its weights and is refreshed after each update of them.
struct shk_packing {
    // From the parameter's first weight w: its panel or tile `panel`, and `rows` of its rows from `row` on (multiples of 16).
    void (*derive)(const struct shk_param *, const float *w, float *derived, size_t panel, size_t row, size_t rows,
                   const struct shk_kernels *);
};

struct shk_param {
    char name[64]; // in PyTorch's state_dict
    size_t dims[4];
    unsigned ndim;
    size_t size; // product of dims
    enum shk_init init;
    float mean, spread; // constant mean; uniform mean - spread .. mean + spread; normal with the deviation spread
    bool running;       // a running statistic, which no rule updates
    bool not_negative;  // a variance
    bool damaged;       // its numbers are those that a training which went wrong has left
    // Chosen by the op that reads it:
    enum shk_param_layout layout;
    struct shk_axis outer, inner;      // flat index = outer * extent(inner) + inner
    size_t ld;                         // leading dimension: floats of a row (SHK_ROWS), or rows of a panel or tile
    size_t length;                     // floats, a multiple of 16; what no index maps to is zero
    const struct shk_packing *packing; // or NULL
    size_t packed;                     // floats of it
    // Where it and its packing begin among the model's:
    size_t offset, derived_offset;
};

// Where PyTorch's flat index of a parameter lies in the weights.
size_t shk_param_position(const struct shk_param *, size_t index);
// The numbers first .. first + n - 1 of a parameter, in PyTorch's order, from or to an array that is laid out as the
// weights are.
void shk_param_gather(const struct shk_param *, size_t first, size_t n, const float *padded, float *values);
void shk_param_scatter(const struct shk_param *, size_t first, size_t n, const float *values, float *padded);
size_t shk_param_panels(const struct shk_param *); // how many panels or tiles; 0: it has no packing
// Columns of a tile.
static inline size_t shk_tile_width(const struct shk_param *p, size_t tile) {
    size_t left = p->length / p->ld - tile * SHK_INPUT_TILE;
    return left < SHK_INPUT_TILE ? left : SHK_INPUT_TILE;
}

#endif
