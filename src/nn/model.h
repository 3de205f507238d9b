// SPDX-License-Identifier: MIT
// A model is a graph of layers and their parameters, with place for the weights.
#ifndef SHK_NN_MODEL_H
#define SHK_NN_MODEL_H

#include "base/names.h"
#include "nn/graph/description.h"
#include "nn/graph/graph.h"
#include "nn/param.h"
#include <shikaku/shikaku.h>

enum { SHK_MAX_PARAMS = 12 * SHK_MAX_DEPTH + 16 };

// How images become the model's input, and what its classes are called (count 0: they have numbers only).
struct shk_input {
    struct shk_preprocessing prepared;
    struct shk_names names;
};

struct shk_model {
    struct shk_description config;
    struct shk_shape shape;
    struct shk_input input;
    bool guessed;              // its file did not say what it is
    struct shk_graph graph;    // as described
    struct shk_graph computed; // without what nobody reads
    unsigned param_count;
    struct shk_param params[SHK_MAX_PARAMS];
    size_t parameters;                    // numbers
    size_t weight_floats, derived_floats; // padded
    double forward_flops, training_flops; // nominal, one sample, every layer dense
    float *weights, *derived;
    struct shk_position damage; // the epoch and step (from 1) in which a training went wrong
};

// Layers and parameters, but no place for weights yet: what a file can be held against before memory is taken for it.
// A model that cannot be computed is refused, in one sentence that names the layer.
struct shk_model *shk_model_outline(const char *description, const struct shk_shape *, struct shk_error *);
// Place for the weights and packings of such a model, which are 0 then.
bool shk_model_allocate(struct shk_model *, struct shk_error *);
// Of a model whose graph and parameters' dims are set (build.h): prunes the graph, lets the ops choose layouts, and finds
// place for each parameter.
bool shk_model_lay_out(struct shk_model *, struct shk_error *);
// Draws the initial weights of a model with place for them, and refreshes the packings.
bool shk_model_draw(struct shk_model *, uint64_t seed, struct shk_error *);

bool shk_all_finite(const float *x, size_t n);
// The first parameter with a number that is not finite, or NULL.
const struct shk_param *shk_model_not_finite(const struct shk_model *);
// A training went wrong in this step (both from 1): the model is of no use until each of its tensors was set.
void shk_model_damage(struct shk_model *, size_t epoch, size_t step);
bool shk_model_usable(const struct shk_model *, struct shk_error *);
// Usable, and all weights are finite.
bool shk_model_trainable(const struct shk_model *, struct shk_error *);
// Refreshes the packing of a parameter for its panel or tile `panel`, and `rows` of its rows from `row` on (multiples of 16).
static inline void shk_model_derive_rows(const struct shk_model *m, const struct shk_param *p, size_t panel, size_t row,
                                         size_t rows, const struct shk_kernels *k) {
    if (p->packing) p->packing->derive(p, m->weights + p->offset, m->derived + p->derived_offset, panel, row, rows, k);
}
// All packings of all parameters.
void shk_model_derive(const struct shk_model *, const struct shk_kernels *);

#endif
