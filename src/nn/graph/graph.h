// SPDX-License-Identifier: MIT
// A graph says what a model computes: layers with named attributes, each of which reads the outputs of earlier ones.
// A residual sum is a layer with two inputs. How it is computed is the plan's affair (nn/plan).
#ifndef SHK_NN_GRAPH_GRAPH_H
#define SHK_NN_GRAPH_GRAPH_H

#include "base/error.h"
#include "nn/grid.h"
#include <stddef.h>
#include <stdint.h>

enum shk_layer_kind {
#define LAYER(kind, name, flags) SHK_##kind,
#include "nn/graph/layers.def"
#undef LAYER
    SHK_LAYER_KINDS
};

enum shk_layer_flags {
    SHK_WEIGHTED = 1, // has a weight and a bias
    SHK_BIAS_OPTIONAL = 128,
    SHK_RUNNING = 256,  // has running statistics
    SHK_EMBEDS = 64,    // has one parameter, which is a part of its output
    SHK_ROWWISE = 2,    // computes each row of its output from the same rows of its inputs alone
    SHK_ACTIVATION = 4, // may be asked for by name, behind a linear layer
    SHK_DRAWS = 8,      // draws random numbers in training
    SHK_TWO_INPUTS = 16,
    SHK_ELEMENTWISE = 32 | SHK_ROWWISE, // computes each element from the same elements alone, of maps too
};

const char *shk_layer_name(enum shk_layer_kind);
unsigned shk_layer_flags(enum shk_layer_kind);

// A value of one sample: a map [h][w][c], or a matrix [h][c] (map false, w 1).
struct shk_extent {
    size_t h, w, c;
    bool map;
};
static inline bool shk_extent_equal(struct shk_extent a, struct shk_extent b) {
    return a.h == b.h && a.w == b.w && a.c == b.c && a.map == b.map;
}

struct shk_layer {
    enum shk_layer_kind kind;
    char name[48];  // PyTorch's module, or the kind's name
    int in[2];      // the layers that it reads; -1: none
    int params[2];  // of the model: weight, bias; of an embedding the first alone; -1: none
    int running[2]; // of batch normalisation: its running mean and variance
    struct shk_extent out;
    uint32_t draw; // which of the model's layers that draw random numbers it is, from 1; 0: none
    union {        // attributes, by kind
        struct {
            size_t out, kernel, stride, pad; // channels, pixels
            size_t groups;                   // of a grouped one: of channels in and out
        } conv;
        struct {
            size_t window, stride, pad; // pixels
        } pool;
        struct {
            size_t out; // features
        } linear;
        struct {
            size_t dim, patch; // features, pixels
        } patch_embed;
        struct {
            double eps, momentum;
            bool ghost; // statistics are those of each block of the batch, not of all of it
        } batch_norm;
        struct {
            double eps;
        } layer_norm;
        struct {
            size_t heads;   // its input has the queries, keys and values of all heads, stacked
            double dropout; // of the weights
            bool cls_alone; // one query, of row 0: what nobody else reads is not computed (prune.h)
        } attention;
        struct {
            double p; // of an element; of a drop path, that a sample's whole value is left out
        } dropout;
        struct shk_grid grid; // of fixed positions: its tokens are the input's last rows
    };
};

enum { SHK_MAX_LAYERS = 16 * 64 + 32, SHK_MOST_JOINED = 65536 }; // joined: channels

struct shk_graph {
    unsigned count, draws;
    struct shk_layer layers[SHK_MAX_LAYERS]; // layers[0] is the image; each reads earlier ones
};

// Adds a layer whose kind, inputs, name, parameters and attributes are set, and finds its extent. Returns its index; -1 where
// it cannot be, in one sentence, or where an input is -1 (then *error stays as it is).
int shk_graph_add(struct shk_graph *, const struct shk_layer *, struct shk_error *);

// The only layer that reads layer i; -1: none or several.
int shk_graph_consumer(const struct shk_graph *, int i);
// The last layer that reads layer i; -1: none.
int shk_graph_last_consumer(const struct shk_graph *, int i);

// Multiplications and additions of a layer's forward pass for one sample, every layer dense, element-wise work left out.
double shk_layer_flops(const struct shk_graph *, const struct shk_layer *);

#endif
