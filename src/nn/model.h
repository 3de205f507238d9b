// SPDX-License-Identifier: MIT
// A model: layers as PyTorch names them, and their parameters. How they are computed is the plan's affair (plan.h).
#ifndef SHK_NN_MODEL_H
#define SHK_NN_MODEL_H

#include "nn/config.h"
#include <kernels.h>
#include <shikaku/shikaku.h>

// One digit of an index in mixed radix; digits[0] is the slowest. Maps PyTorch's index of an axis to ours, with our
// padding.
struct shk_axis {
    unsigned count; // of digits; 0: the axis has extent 1
    struct {
        size_t extent, stride;
    } digits[3];
};

enum shk_param_layout {
    SHK_ROWS,   // element (o, i) at o * row + i: vectors, embeddings, and the taps of a 3x3 convolution
    SHK_PANELS, // element (o, i) at (o / 16) * (row * 16) + i * 16 + o % 16: a weight [out][in] as panels of in x out;
                // row = padded in
    SHK_INPUT_TILES, // element (o, i) at t * (64 * row) + o * width + i % 64, where t = i / 64 and width is 64, or in the
                     // last tile what is left of padded in; row = padded out
};
enum { SHK_INPUT_TILE = 64 };

// A packing of a parameter, refreshed after each update.
enum shk_derived {
    SHK_NOT_DERIVED,
    SHK_TRANSPOSED, // of panels [K][N]: panels [N][K], for the input gradient; of tiles: panels [K][N], for the forward pass
    SHK_WINOGRAD, // of taps [cout][9][cin_pad]: transformed [cout/16][36][cin][16], for the forward pass
};

enum shk_init { SHK_INIT_CONSTANT, SHK_INIT_UNIFORM, SHK_INIT_NORMAL };

struct shk_param {
    char name[64]; // in PyTorch's state_dict
    size_t dims[4];
    unsigned ndim;
    size_t size; // product of dims
    enum shk_param_layout layout;
    struct shk_axis outer, inner; // flat index = outer * extent(inner) + inner
    size_t row;                   // floats (SHK_ROWS) or rows of a panel or tile
    size_t offset, length;        // in the weights, floats; multiples of 16; what no index maps to is zero
    enum shk_derived derived;
    size_t derived_offset; // in the derived packings
    size_t cin;            // SHK_WINOGRAD: input channels without padding
    enum shk_init init;
    float a, b;   // constant a; uniform a..b; normal mean a, deviation b
    bool damaged; // its numbers are those that a training which went wrong has left
};

enum shk_layer_kind {
    SHK_CONV2D, // 3x3, pad 1: a = channels out
    SHK_RELU,
    SHK_GELU,
    SHK_MAX_POOL, // 2x2
    SHK_FLATTEN,
    SHK_LINEAR,      // a = features out
    SHK_PATCH_EMBED, // a = dim, b = patch
    SHK_CLS_TOKEN,
    SHK_POSITIONS,
    SHK_RESIDUAL,  // remembers its input for the next SHK_ADD
    SHK_ATTENTION, // multi-head self-attention with both projections: a = heads, b = embedding dim; dropout on the
                   // weights
    SHK_DROPOUT,
    SHK_ADD,
    SHK_LAYER_NORM,
    SHK_SELECT_CLS,
    SHK_MEAN_TOKENS,
};

struct shk_layer {
    enum shk_layer_kind kind;
    char name[48];
    size_t a, b;
    double dropout;
    int params[4]; // indices; weight, bias; attention: in weight, in bias, out weight, out bias
};

enum { SHK_MAX_LAYERS = 16 * SHK_MAX_DEPTH + 32, SHK_MAX_PARAMS = 12 * SHK_MAX_DEPTH + 16 };

struct shk_model {
    struct shk_config config;
    struct shk_shape shape;
    unsigned layer_count, param_count;
    struct shk_layer layers[SHK_MAX_LAYERS];
    struct shk_param params[SHK_MAX_PARAMS];
    size_t parameters;                    // numbers
    size_t weight_floats, derived_floats; // padded
    double forward_flops, training_flops; // nominal, one sample, every layer dense
    float *weights, *derived;
    struct shk_position damage; // the epoch and step (from 1) in which a training went wrong
};

// Layers and parameters, but no place for weights yet: what a file can be held against before memory is taken for it.
struct shk_model *shk_model_outline(const char *description, const struct shk_shape *, struct shk_error *);
// Place for the weights and packings of such a model, which are 0 then.
bool shk_model_allocate(struct shk_model *, struct shk_error *);

size_t shk_axis_extent(const struct shk_axis *);
size_t shk_axis_map(const struct shk_axis *, size_t index);
// Where PyTorch's flat index of a parameter lies in the weights.
size_t shk_param_position(const struct shk_param *, size_t index);
// The numbers first .. first + n - 1 of a parameter, in PyTorch's order, from or to an array that is laid out as the
// weights are.
void shk_param_gather(const struct shk_param *, size_t first, size_t n, const float *padded, float *values);
void shk_param_scatter(const struct shk_param *, size_t first, size_t n, const float *values, float *padded);
// Refreshes the derived packing of parameter p for its panel or tile `panel`, and `rows` of its rows from `row` on
// (multiples of 16; all of them for SHK_WINOGRAD).
void shk_param_derive(const struct shk_model *, const struct shk_param *p, size_t panel, size_t row, size_t rows,
                      const struct shk_kernels *);
bool shk_all_finite(const float *x, size_t n);
// The first parameter with a number that is not finite, or NULL.
const struct shk_param *shk_model_not_finite(const struct shk_model *);
// A training went wrong in this step (both from 1): the model is of no use until each of its tensors was set.
void shk_model_damage(struct shk_model *, size_t epoch, size_t step);
bool shk_model_usable(const struct shk_model *, struct shk_error *);
// Usable, and all weights are finite.
bool shk_model_trainable(const struct shk_model *, struct shk_error *);
// All packings of all parameters.
void shk_model_derive(const struct shk_model *, const struct shk_kernels *);
size_t shk_param_panels(const struct shk_param *); // how many panels or tiles; 0: not derived
// Columns of a tile.
static inline size_t shk_tile_width(const struct shk_param *p, size_t tile) {
    size_t left = p->length / p->row - tile * SHK_INPUT_TILE;
    return left < SHK_INPUT_TILE ? left : SHK_INPUT_TILE;
}

#endif
