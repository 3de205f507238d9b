// SPDX-License-Identifier: MIT
// What a model is made of, and what its training and prediction will take: layers, memory, work. Nothing is measured.
#ifndef SHIKAKU_SUMMARY_H
#define SHIKAKU_SUMMARY_H

#include <shikaku/shikaku.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shk_summary_layer {
    char name[48];                  // of its module in PyTorch; without parameters, what it is
    const char *kind;               // "conv"
    size_t height, width, channels; // of its output; of rows and tokens: how many, 1, and the numbers of each
    bool map;                       // else they are rows
    size_t parameters;
    double forward_flops, backward_flops; // a sample, with every layer dense and without element-wise work
};
// What computes one layer or several together.
struct shk_summary_op {
    char layer[64];                       // the first of them
    const char *op;                       // "conv_pool"; "updates": the sums of gradients, and the update rule
    double forward_flops, backward_flops; // a sample: what is really computed, without element-wise work
    double forward_bytes, backward_bytes; // a sample: activations and weights that are read and written, each once
};
// Bytes that are allocated, beside the data and a few numbers for each sample of them.
struct shk_summary_memory {
    size_t model;      // weights, their packings, layers
    size_t optimizer;  // moments
    size_t gradients;  // sums of the shards or groups, and of blocks
    size_t batch;      // activations and their gradients that are held for all samples at once
    size_t threads;    // what each thread works in
    size_t evaluation; // for the test behind an epoch; and the weights of the best one
    size_t all;
};
struct shk_summary {
    const char *net; // the model as a net's text, in lines
    size_t layers;   // without the loss
    struct shk_summary_layer *layer;
    size_t parameters, floats; // floats: of a file of weights; running statistics are in it, too
    double forward_flops, backward_flops;
    struct shk_summary_memory training, prediction, single; // single: of a predictor, which takes one image at a time
    size_t saved; // floats a sample that the forward pass must leave for the backward one
    size_t ops;
    struct shk_summary_op *op; // of a training step
    size_t batch;              // of such a step
    unsigned threads;          // of training and prediction
};
// Of a model with this description on such images, with this runtime and these options (NULL: the defaults). No weights are made.
struct shk_summary *shk_summary_create(const char *description, const struct shk_shape *, const struct shk_runtime *,
                                       const struct shk_train_options *, struct shk_error *error);
void shk_summary_free(struct shk_summary *);

#ifdef __cplusplus
}
#endif

#endif
