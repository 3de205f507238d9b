// SPDX-License-Identifier: MIT
// Small models that cover every layer and every way in which it is fused, on every ISA: outputs and gradients against
// the double-precision reference and its central differences; padding and packings after training steps; and that
// neither the number of workers nor the slices' size enters the bits, nor the schedule that clips gradients (to INFINITY).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "nn/plan/op.h"
#include "reference.h"
#include "settings/settings.h"
#include "train/step.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 24, MAX_BATCH = 300, EXTRA_SAMPLES = 5, MAX_CLASSES = 11, STEPS = 3 };

// Measured over all models and ISAs: losses 1.2e-06 of max(1, loss), logits 1.5e-06 of the largest, 2.9e-06 behind four
// convolutions by Winograd's F(4x4,3x3) with batch normalisation between, gradients 2.3e-06 of their tensor's norm.
static const double loss_bound = 1.5e-6, logit_bound = 2e-6, winograd_logit_bound = 4e-6, gradient_bound = 3e-6;
static const double h = 1e-6; // of the differences: about 1e-10 of rounding, curvature below the bounds

struct check {
    const char *description;
    struct shk_shape shape;
    size_t batch, shards;
    size_t n; // samples in the first batch; may be fewer than `batch` and than the shards
};

static const struct check checks[] = {
    // One block, channels in 1 to 4 (an image is not padded), channels out above, below and at a multiple of 16.
    {"cnn:channels=5,hidden=0", {8, 8, 1, 2}, 7, 3, 7},
    {"cnn:channels=2-5,hidden=0", {8, 8, 1, 2}, 7, 3, 7},
    {"cnn:channels=1,hidden=4100", {8, 8, 1, 2}, 5, 3, 5},
    {"cnn:channels=12,hidden=7", {9, 12, 2, 5}, 5, 3, 5},
    {"cnn:channels=20,hidden=0", {11, 8, 3, 9}, 6, 3, 6},
    {"cnn:channels=16,hidden=33", {8, 13, 4, 11}, 9, 1, 9},
    {"cnn:channels=48,hidden=16", {10, 10, 1, 3}, 5, 3, 2},
    // Two and three, odd maps in between.
    {"cnn:channels=16-32,hidden=24", {12, 12, 1, 9}, 8, 3, 8},
    {"cnn:channels=4-32,hidden=150", {24, 24, 1, 9}, 9, 4, 9},
    {"cnn:channels=4,hidden=600", {24, 24, 1, 3}, 5, 3, 5}, // dealt out, in tiles of more outputs than panels have
    {"cnn:channels=5-20,hidden=0", {13, 15, 1, 4}, 7, 3, 7},
    {"cnn:channels=20-12,hidden=18", {14, 9, 2, 6}, 5, 8, 5},
    {"cnn:channels=5-12-20,hidden=10", {20, 17, 3, 10}, 6, 3, 6},
    {"cnn:channels=33-3-1,hidden=5", {8, 19, 1, 2}, 9, 3, 9},
    {"cnn:channels=70-6,hidden=0", {8, 8, 1, 2}, 5, 3, 5},
    // Nets of their own: windows of any size, strides, paddings, branches, and what is computed in maps alone.
    {"net:conv(5) relu conv(7,5,stride=2) gelu max_pool(3,2) mean linear(classes)", {13, 12, 1, 4}, 7, 3, 7},
    {"net:conv(20,7,stride=2,bias=no) relu max_pool(2) conv(6,1) silu flatten linear(classes)",
     {17, 16, 3, 3},
     5,
     3,
     5},
    {"net:conv(12,3,pad=0) sum(conv(12,bias=no) relu conv(12)) relu sum(conv(18,stride=2) | conv(18,1,stride=2)) "
     "mean linear(classes)",
     {12, 15, 2, 5},
     6,
     4,
     6},
    {"net:conv(9) 2*(sum(relu conv(9) dropout(0.3) conv(9,1)) dropout(0.2)) max_pool(3,3) flatten linear(6) relu "
     "linear(classes)",
     {11, 11, 1, 3},
     7,
     2,
     5},
    {"net:conv(16) relu max_pool(2) sum(conv(16) | conv(16,5) | relu) relu conv(4) relu max_pool(2) flatten "
     "linear(classes)",
     {16, 13, 1, 3},
     5,
     3,
     5},
    // Depthwise: outputs at sides and in rows, maps smaller than filters; groups of several widths.
    {"net:conv(20,1) conv(20,groups=20) relu conv(20,5,bias=no,groups=20) conv(20,7,stride=2,groups=20) mean "
     "linear(classes)",
     {15, 12, 2, 3},
     7,
     3,
     7},
    {"net:conv(18,1) sum(conv(18,3,stride=2,groups=18) relu conv(18,1,groups=18) | conv(18,5,2,pad=4,groups=18) "
     "conv(18,3,1,0,groups=18)) conv(18,7,bias=no,groups=18) relu flatten linear(classes)",
     {9, 10, 1, 3},
     5,
     4,
     5},
    {"net:conv(12,3,groups=3) relu sum(conv(12,bias=no,groups=2) | relu) conv(40,5,stride=2,groups=4) relu "
     "conv(40,1,groups=20) mean linear(classes)",
     {8, 9, 3, 4},
     6,
     3,
     6},
    {"net:conv(6,2,2) gelu conv(24,3,3,groups=6) conv(24,2,2,bias=no,groups=24) mean linear(classes)",
     {13, 12, 3, 3},
     5,
     3,
     5},
    {"net:conv(6) sum(conv(24,1,bias=no) bn hardswish conv(24,groups=24) hardswish se conv(6,1)) mean linear(classes)",
     {8, 9, 3, 3},
     5,
     3,
     5},
    {"convmixer:dim=18,depth=2,kernel=5", {9, 8, 1, 3}, 6, 3, 6},
    {"net:conv(12) relu max_pool(3,2,pad=1) sum(avg_pool(3,1,1) | relu) avg_pool(2) flatten linear(classes)",
     {13, 10, 2, 4},
     7,
     3,
     7},
    {"net:conv(20) sum(relu max_pool(3,1,1) | avg_pool(5,1,pad=2)) avg_pool(4,3,pad=1) mean linear(classes)",
     {9, 8, 1, 3},
     5,
     4,
     5},
    // Channels joined: below, above and at multiples of 16, in front of every kind of layer, of other joined ones, of images, of
    // what others read before and behind, of rows and tokens.
    {"net:conv(16) cat(relu conv(16) | relu conv(32,5,groups=2) | relu) relu conv(20,1,bias=no) cat(bn relu "
     "conv(12,bias=no)) "
     "cat(bn relu conv(12,bias=no)) bn relu avg_pool(2) mean linear(classes)",
     {8, 10, 2, 3},
     7,
     3,
     7},
    {"net:cat(conv(5) | conv(2,1) | dropout(0) | conv(3,5) | conv(9,7)) relu max_pool(2) conv(8) relu max_pool(2) "
     "flatten "
     "linear(classes)",
     {16, 12, 3, 3},
     5,
     3,
     5},
    {"net:cat(conv(3)) cat(conv(20) relu | cat(conv(3) | max_pool(3,1,1)) gelu) conv(30,groups=30) "
     "cat(sum(dropout(0.2) conv(30,1) | relu) | conv(5,1)) se conv(10,stride=2,groups=5) flatten linear(9) relu "
     "linear(classes)",
     {9, 8, 4, 3},
     6,
     4,
     6},
    {"net:conv(20) relu sum(cat(conv(5) | dropout(0) | conv(3)) conv(20,1)) mean linear(classes)",
     {8, 8, 1, 3},
     5,
     2,
     5},
    {"net:flatten cat(linear(20) relu) linear(9) gelu linear(classes)", {8, 9, 1, 3}, 7, 3, 7},
    {"net:conv(18) relu cat(max_pool(2) flatten | mean | flatten linear(7) | mean linear(16)) dropout(0.1) linear(12) "
     "bn relu "
     "cat(linear(5) | relu) linear(classes)",
     {8, 8, 1, 3},
     9,
     4,
     9},
    {"net:conv(20,3,stride=2) relu cat(tokens | patch_embed(12,1)) cls_token positions cat(linear(4) gelu linear(8)) "
     "encoder(2,24) cat(ln | linear(9)) cls linear(classes)",
     {8, 9, 2, 3},
     6,
     3,
     6},
    {"net:conv(5,bias=no) bn relu conv(18,stride=2,bias=no) bn mean linear(classes)", {9, 8, 1, 3}, 7, 3, 7},
    {"net:conv(12) bn(eps=0.01,momentum=0.3) 2*(sum(conv(12) bn relu conv(12) bn) relu) flatten linear(9) bn relu "
     "linear(classes)",
     {8, 9, 2, 4},
     9,
     4,
     9},
    {"net:sum(conv(12,1) bn hardswish conv(12,groups=12,bias=no) bn silu conv(12,1) bn | conv(12) hardswish) gelu mean "
     "linear(9) "
     "bn silu linear(classes)",
     {8, 9, 2, 4},
     9,
     4,
     9},
    {"net:conv(12) gelu bn hardswish sum(conv(12,1) bn | bn) sum(dropout(0) | bn) gelu mean linear(classes)",
     {8, 9, 2, 4},
     9,
     4,
     9},
    {"net:conv(4,5,stride=2) bn relu sum(conv(4) bn | bn) mean linear(classes)", {12, 8, 3, 3}, 150, 64, 6},
    {"net:conv(3,stride=2) bn relu mean linear(classes)", {8, 8, 1, 2}, 270, 64, 270}, // of two blocks
    {"net:conv(3,stride=2) bn(ghost=yes) relu mean linear(classes)", {8, 8, 1, 2}, 270, 64, 270},
    // What else than a convolution reads the image, and what else than a linear layer a map that is flattened.
    {"net:bn sum(conv(5,stride=2) | max_pool(2) conv(5,1)) relu flatten bn relu linear(classes)",
     {8, 10, 3, 3},
     7,
     3,
     7},
    {"net:sum(conv(3,1) | conv(3,groups=3) | dropout(0.2)) sum(flatten linear(9) | mean linear(9)) relu "
     "linear(classes)",
     {9, 8, 3, 3},
     6,
     3,
     6},
    {"net:avg_pool(2) conv(16) relu flatten ln linear(9) relu linear(classes)", {9, 8, 2, 3}, 6, 3, 6},
    // Tokens of maps and of images: patches, pixels, CLS tokens and positions where other ops have made the tokens.
    {"net:conv(5) relu conv(20,5,stride=2) gelu tokens cls_token positions encoder(2,24) cls linear(classes)",
     {8, 9, 2, 3},
     7,
     3,
     7},
    {"net:conv(9,bias=no) relu max_pool(2) patch_embed(12,3) positions encoder(3,norm=pre,act=gelu,dropout=0.2) ln "
     "mean "
     "linear(classes)",
     {12, 18, 1, 4},
     6,
     4,
     6},
    {"net:conv(4,1) sum(patch_embed(20,2) | patch_embed(20,2) positions | conv(20,3,stride=2) tokens) cls_token mean "
     "linear(classes)",
     {8, 10, 3, 3},
     5,
     3,
     5},
    {"net:tokens cls_token positions linear(20) relu mean linear(classes)", {8, 9, 3, 3}, 6, 2, 6},
    {"net:patch_embed(12,4) positions(sincos) encoder(2,24) mean linear(classes)", {8, 12, 1, 3}, 5, 3, 5},
    {"net:conv(20,5,stride=2) tokens cls_token linear(8) positions(sincos) encoder(2,9) cls linear(classes)",
     {8, 9, 2, 3},
     6,
     3,
     6},
    {"net:conv(20,3,stride=2) relu tokens positions encoder(2,24,norm=pre,act=gelu) ln attention_pool=seq_pool "
     "linear(9) "
     "relu linear(classes)",
     {8, 12, 1, 3},
     7,
     3,
     7},
    {"net:patch_embed(17,4) sum(seq_pool | mean | ln seq_pool) dropout(0.2) linear(classes)", {12, 12, 2, 3}, 6, 2, 6},
    // Stochastic depth: of residual sums, of the first of several branches, where others read what it drops, in blocks.
    {"net:conv(12) sum(conv(12) gelu conv(12),drop_path=0.3) relu sum(conv(18,stride=2) | "
     "conv(18,1,stride=2),drop_path=0.6) sum(sum(dropout(0) | conv(18),drop_path=0.4) | conv(18)) mean linear(classes)",
     {9, 8, 1, 3},
     9,
     4,
     9},
    {"net:patch_embed(12,4) cls_token encoder(2,20,drop_path=0.4) "
     "encoder(3,20,norm=pre,act=gelu,dropout=0.2,drop_path=0.5) "
     "cls linear(classes)",
     {8, 12, 1, 3},
     9,
     3,
     9},
    {"net:tokens ln(eps=0.01) encoder(2,7,norm=pre,eps=0.1) ln(1e-6) linear(12) mean linear(classes)",
     {8, 8, 4, 3},
     5,
     3,
     5},
    {"net:sum(patch_embed(17,4) | conv(17,stride=2) conv(17,stride=2) tokens) sum(positions) mean linear(classes)",
     {8, 8, 2, 3},
     5,
     3,
     5},
    {"cct:dim=20,depth=1", {12, 13, 1, 3}, 7, 3, 7},
    {"vit-tiny:dim=12,depth=2", {8, 12, 2, 5}, 7, 3, 7},
    {"net:flatten linear(30) gelu linear(12) relu linear(classes)", {8, 9, 3, 4}, 9, 3, 9},
    // Every choice of a ViT, alone and against each other.
    {"vit:dim=16,depth=1,heads=1,patch=4,ff=16,dropout=0", {8, 8, 1, 9}, 7, 3, 7},
    {"vit:dim=16,depth=1,heads=1,patch=4,ff=16,dropout=0.3", {8, 8, 1, 9}, 7, 3, 7},
    {"vit:dim=12,depth=2,heads=3,patch=4,ff=20,dropout=0", {12, 8, 2, 5}, 5, 3, 5},
    {"vit:dim=12,depth=2,heads=3,patch=2,ff=20,dropout=0.3", {8, 8, 1, 5}, 5, 3, 5},
    {"vit:dim=12,depth=2,heads=3,patch=4,ff=20,dropout=0.3,norm=pre,act=gelu", {8, 12, 3, 11}, 5, 3, 5},
    {"vit:dim=12,depth=2,heads=3,patch=4,ff=20,dropout=0,norm=pre,act=gelu", {8, 12, 1, 2}, 9, 3, 9},
    {"vit:dim=40,depth=1,heads=2,patch=5,ff=36,dropout=0,pool=mean", {10, 15, 1, 9}, 6, 3, 6},
    {"vit:dim=40,depth=2,heads=2,patch=5,ff=36,dropout=0.3,pool=mean,act=gelu", {10, 10, 1, 3}, 5, 1, 5},
    {"vit:dim=20,depth=2,heads=5,patch=4,ff=24,dropout=0.3,pool=mean,norm=pre,pos=none", {8, 16, 4, 7}, 5, 3, 5},
    {"vit:dim=20,depth=1,heads=5,patch=4,ff=24,dropout=0.3,norm=pre,act=gelu,pos=none", {8, 8, 1, 4}, 6, 3, 2},
    {"vit:dim=12,depth=3,heads=3,patch=4,ff=10,dropout=0.3", {8, 8, 1, 9}, 5, 3, 5},
    {"vit:dim=12,depth=3,heads=2,patch=4,ff=10,dropout=0.3,norm=pre,act=gelu", {8, 8, 2, 9}, 5, 9, 5},
    {"vit:dim=12,depth=3,heads=2,patch=4,ff=10,dropout=0,pool=mean,pos=none,act=gelu", {8, 8, 1, 9}, 5, 3, 5},
    {"vit:dim=32,depth=1,heads=2,patch=2,ff=48,dropout=0.3", {12, 8, 1, 9}, 5, 3, 5}, // more than 16 tokens
    {"vit:dim=20,depth=2,heads=2,patch=4,ff=24,dropout=0,norm=pre,act=silu", {8, 8, 2, 5}, 7, 3, 7},
    {"vit:dim=20,depth=1,heads=2,patch=4,ff=24,dropout=0,pool=mean,act=silu", {8, 12, 1, 3}, 5, 2, 5},
    // More samples than rows are multiplied at a time where a gradient is taken over the whole batch.
    {"vit:dim=40,depth=2,heads=2,patch=4,ff=36,dropout=0.3", {8, 8, 1, 5}, 150, 64, 5},
    {"vit:dim=40,depth=2,heads=2,patch=4,ff=36,dropout=0,norm=pre,act=gelu", {8, 8, 1, 5}, 150, 64, 6},
    // So wide that tokens' layers leave the shards (the first and the second of them; the last two), in two blocks of rows.
    {"vit:dim=144,depth=1,heads=2,patch=4,ff=300,dropout=0.3,pool=mean", {12, 12, 1, 5}, 15, 5, 15},
    {"vit:dim=96,depth=1,heads=2,patch=4,ff=500,dropout=0.3,norm=pre,act=gelu,pool=mean", {12, 12, 1, 5}, 15, 5, 15},
};
// Here queries, keys and values are so large that every softmax is one token's: without and with dropout, all queries
// and CLS alone.
static const struct check saturated[] = {
    {"vit:dim=16,depth=1,heads=1,patch=4,ff=16,dropout=0,pool=mean", {8, 8, 1, 9}, 7, 3, 7},
    {"vit:dim=16,depth=1,heads=1,patch=4,ff=16,dropout=0.2", {8, 8, 1, 9}, 7, 3, 7},
    {"vit:dim=12,depth=2,heads=3,patch=4,ff=20,dropout=0.2,norm=pre,act=gelu", {8, 12, 3, 11}, 5, 3, 5},
    {"vit:dim=32,depth=1,heads=2,patch=2,ff=48,dropout=0.3,pool=mean", {12, 8, 1, 9}, 5, 3, 5},
};
enum { CHECKS = sizeof checks / sizeof *checks, SATURATED = sizeof saturated / sizeof *saturated };

// ---- Numbers to test with ----

static double noise(uint64_t *state) { // -1 .. 1
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1;
}

struct element {
    unsigned tensor;
    size_t index;
    double derivative, kink; // kink: difference of the one-sided differences
};

struct problem {
    const struct check *check;
    float sharpness;         // factor of the projections to queries, keys and values
    struct shk_model *model; // with the weights that every run starts from
    struct shk_dataset *data;
    uint32_t ids[MAX_BATCH], labels[MAX_BATCH];
    const float *images[MAX_BATCH];
    double *weights[SHK_MAX_PARAMS];
    double logits[MAX_BATCH * MAX_CLASSES], losses[MAX_BATCH]; // evaluation
    double loss, training_losses[MAX_BATCH];
    size_t element_count;
    struct element *elements;
};

static const uint64_t seed = 0x123456789abcdef0u;

static struct shk_model *create_model(const struct check *c) {
    struct shk_error err;
    struct shk_model *m = shk_model_create(c->description, &c->shape, 5, &err);
    if (!m) fail_msg("%s: %s", c->description, err.text);
    return m;
}

static struct shk_model *copy_model(const struct problem *p) {
    struct shk_model *m = create_model(p->check);
    for (size_t i = 0; i < m->param_count; i++) {
        float *values = malloc(m->params[i].size * sizeof *values);
        shk_model_get_tensor(p->model, i, values);
        shk_model_set_tensor(m, i, values);
        free(values);
    }
    return m;
}

// A ViT of so many weights that layers of tokens leave the shards.
static bool wide(const struct problem *p) {
    return p->model->weight_floats > 100000 && strncmp(p->check->description, "vit", 3) == 0;
}

// How many layers of tokens take their gradients over the whole batch.
static unsigned layers_that_left(const struct shk_plan *plan) {
    unsigned count = 0;
    const struct shk_op *last = NULL;
    for (size_t i = 0; i < plan->update_count; i++) {
        const struct shk_update *u = &plan->updates[i];
        if (!u->of_batch || u->op->in.rows == 1 || u->op == last) continue;
        count++;
        last = u->op;
    }
    return count;
}

// The initial weights and some noise, so that no bias is 0 and no gain is 1.
static void make_weights(struct problem *p) {
    uint64_t state = 1;
    p->model = create_model(p->check);
    for (unsigned i = 0; i < p->model->param_count; i++) {
        size_t size = p->model->params[i].size;
        float *values = malloc(size * sizeof *values);
        p->weights[i] = malloc(size * sizeof(double));
        shk_model_get_tensor(p->model, i, values);
        const float factor = strstr(p->model->params[i].name, "in_proj") ? p->sharpness : 1;
        for (size_t j = 0; j < size; j++)
            p->weights[i][j] = (double)(values[j] = factor * (values[j] + (float)(0.2 * noise(&state))));
        shk_model_set_tensor(p->model, i, values);
        free(values);
    }
}

static void make_data(struct problem *p) {
    const struct shk_shape *s = &p->check->shape;
    size_t n = p->check->batch + EXTRA_SAMPLES, pixels = s->height * s->width * s->channels;
    float *images = malloc(n * pixels * sizeof *images);
    uint32_t labels[MAX_BATCH + EXTRA_SAMPLES];
    uint64_t state = 2;
    struct shk_error err;
    for (size_t i = 0; i < n * pixels; i++) images[i] = (float)noise(&state);
    for (size_t i = 0; i < n; i++) labels[i] = (uint32_t)(i * 5 % s->classes);
    p->data = shk_dataset_copy(images, labels, n, s, &err);
    assert_non_null(p->data);
    free(images);
    for (size_t i = 0; i < p->check->batch; i++) {
        p->ids[i] = (uint32_t)(n - 1 - i);
        p->labels[i] = labels[p->ids[i]];
        p->images[i] = shk_dataset_image(p->data, p->ids[i]);
    }
}

static struct reference_batch reference_batch_of(const struct problem *p, bool training) {
    return (struct reference_batch){.n = p->check->n,
                                    .images = p->images,
                                    .labels = p->labels,
                                    .ids = p->ids,
                                    .training = training,
                                    .seed = seed,
                                    .epoch = 1};
}

static void choose_elements(struct problem *p) {
    const size_t most = wide(p) ? ELEMENTS / 3 : ELEMENTS;
    uint64_t state = 3;
    p->elements = calloc(p->model->param_count * ELEMENTS, sizeof *p->elements);
    for (unsigned t = 0; t < p->model->param_count; t++) {
        size_t size = p->model->params[t].size, count = size < most ? size : most;
        for (size_t i = 0; i < count; i++) {
            size_t first = i * size / count, width = (i + 1) * size / count - first;
            size_t jitter = (size_t)((noise(&state) + 1) / 2 * (double)width);
            if (i == 0) jitter = 0;
            if (i + 1 == count) jitter = width - 1;
            p->elements[p->element_count++] = (struct element){.tensor = t, .index = first + jitter};
        }
    }
}

static void differentiate(const struct problem *p, struct element *e) {
    struct reference_batch batch = reference_batch_of(p, true);
    double *weights[SHK_MAX_PARAMS];
    memcpy(weights, p->weights, sizeof weights);
    size_t bytes = p->model->params[e->tensor].size * sizeof(double);
    double *copy = weights[e->tensor] = malloc(bytes);
    memcpy(copy, p->weights[e->tensor], bytes);
    double at = copy[e->index];
    copy[e->index] = at + h;
    double above = reference_loss(p->model, weights, &batch, NULL, NULL);
    copy[e->index] = at - h;
    double below = reference_loss(p->model, weights, &batch, NULL, NULL);
    e->derivative = (above - below) / (2 * h);
    e->kink = (above - 2 * p->loss + below) / h;
    free(copy);
}

static void open_problem(struct problem *p, const struct check *c, float sharpness) {
    *p = (struct problem){.check = c, .sharpness = sharpness};
    make_weights(p);
    make_data(p);
    struct reference_batch evaluation = reference_batch_of(p, false), training = reference_batch_of(p, true);
    reference_loss(p->model, p->weights, &evaluation, p->logits, p->losses);
    p->loss = reference_loss(p->model, p->weights, &training, NULL, p->training_losses);
    choose_elements(p);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < p->element_count; i++) differentiate(p, &p->elements[i]);
}

static void close_problem(struct problem *p) {
    for (unsigned i = 0; i < p->model->param_count; i++) free(p->weights[i]);
    free(p->elements);
    shk_dataset_free(p->data);
    shk_model_free(p->model);
}

// ---- Running the library ----

struct run {
    struct shk_model *model;
    struct shk_engine engine;
    struct shk_team team;
    struct shk_batch batch;
    float loss[MAX_BATCH];
    uint32_t predicted[MAX_BATCH];
    bool finite;
};

static void run_team(const struct shk_team *team, shk_worker work, void *arg) {
#pragma omp parallel num_threads(team->workers)
    work(arg, (unsigned)omp_get_thread_num(), (unsigned)omp_get_num_threads());
}

// Smaller slices, and as many buffers for gradients as those may take.
static void narrow(struct shk_engine *e, const struct check *c, size_t slice) {
    struct shk_error err;
    e->plan->slice = slice;
    if (!e->grads) return;
    e->grad_buffers = shk_most_buffers(c->batch, c->shards, slice, e->workers, e->plan->whole);
    shk_free(e->grads);
    e->grads = shk_alloc(e->grad_buffers + e->workers, e->plan->shard_floats * sizeof(float) + 64, "gradients", &err);
    assert_non_null(e->grads);
}

// slice 0: as the plan has it.
static void open_run(struct run *r, const struct problem *p, const struct shk_kernels *k, unsigned workers,
                     size_t slice, bool training) {
    const struct check *c = p->check;
    struct shk_error err;
    *r = (struct run){.model = copy_model(p), .team = {.workers = workers, .run = run_team}};
    struct shk_runtime runtime = {.kernels = k, .team = r->team};
    assert_true(shk_engine_init(&r->engine, r->model, &runtime, c->batch, c->shards, training, &err));
    if (training && wide(p)) assert_int_equal(layers_that_left(r->engine.plan), 2);
    if (slice && slice < r->engine.plan->slice) narrow(&r->engine, c, slice);
    r->engine.options.lr = 0.01;
    assert_true(shk_train_options_complete(&r->engine.options, &err));
    r->engine.seed = seed;
    r->batch = (struct shk_batch){.data = p->data, .ids = p->ids, .n = c->n, .epoch = 1};
    r->batch.loss = r->loss;
    r->batch.predicted = r->predicted;
}

static void close_run(struct run *r) {
    shk_engine_free(&r->engine);
    shk_model_free(r->model);
}

static void step_worker(void *arg, unsigned worker, unsigned workers) {
    struct run *r = arg;
    bool finite = shk_train_step(&r->engine, &r->batch, worker, workers) == SHK_STEP_DONE;
    if (worker == 0) r->finite = finite;
}

static void step(struct run *r) {
    r->team.run(&r->team, step_worker, r);
    assert_true(r->finite);
}

// After the first: a short batch, a whole one of the next epoch.
static void more_steps(struct run *r, const struct problem *p) {
    for (unsigned i = 1; i < STEPS; i++) {
        r->batch.n = i % 2 ? 2 : p->check->batch;
        r->batch.epoch = 1 + i / 2;
        step(r);
    }
}

static void forward_worker(void *arg, unsigned worker, unsigned workers) {
    struct run *r = arg;
    shk_forward(&r->engine, &r->batch, worker, workers);
}

// ---- What is checked ----

static double worse(double worst, double error) { return isnan(error) || error > worst ? error : worst; }

static double loss_error(const struct run *r, const double *want) {
    double worst = 0;
    for (size_t i = 0; i < r->batch.n; i++) worst = worse(worst, fabs((double)r->loss[i] - want[i]) / fmax(1, want[i]));
    return worst;
}

// Sample by sample, since a slice's logits do not outlive it.
static double logit_error(struct run *r, const struct problem *p) {
    const struct shk_view *v = &r->engine.plan->logits;
    const struct shk_buffer *b = &r->engine.plan->buffers[v->buffer];
    const float *row = r->engine.workspaces + b->offset + v->offset;
    size_t classes = p->check->shape.classes;
    double worst = 0, largest = 0;
    for (size_t i = 0; i < p->check->n; i++) {
        r->batch.ids = p->ids + i;
        r->batch.n = 1;
        r->team.run(&r->team, forward_worker, r);
        for (size_t c = 0; c < classes; c++) {
            worst = worse(worst, fabs((double)row[c] - p->logits[i * classes + c]));
            largest = fmax(largest, fabs(p->logits[i * classes + c]));
        }
    }
    r->batch.ids = p->ids;
    r->batch.n = p->check->n;
    return worst / largest;
}

static void check_predicted(const struct run *r, const struct problem *p) {
    size_t classes = p->check->shape.classes;
    for (size_t i = 0; i < r->batch.n; i++) {
        const double *row = p->logits + i * classes;
        assert_in_range(r->predicted[i], 0, classes - 1);
        for (size_t c = 0; c < classes; c++) assert_true(row[c] <= row[r->predicted[i]] + 1e-5);
    }
}

// Of running statistics; of a bias that a batch normalisation takes away again; and of one that a softmax does not see.
static bool has_none(const struct shk_model *m, int param) {
    if (m->params[param].running) return true;
    for (unsigned i = 0; i < m->graph.count; i++) {
        if (m->graph.layers[i].kind == SHK_SEQ_POOL && m->graph.layers[i].params[1] == param) return true;
        const int behind = shk_graph_consumer(&m->graph, (int)i);
        if (m->graph.layers[i].params[1] == param && behind >= 0 && m->graph.layers[behind].kind == SHK_BATCH_NORM)
            return true;
    }
    return false;
}

// After the first step m = (1 - beta1) * gradient. Counts the elements skipped.
static double gradient_error(const struct run *r, const struct problem *p, size_t *skipped, const char **name) {
    const float scale = (float)(1 - 0.9);
    double norms[SHK_MAX_PARAMS] = {0}, worst = 0;
    for (unsigned t = 0; t < r->model->param_count; t++) {
        for (size_t i = 0; i < r->model->params[t].size; i++) {
            double g = (double)r->engine.m[shk_param_position(&r->model->params[t], i)] / (double)scale;
            norms[t] += g * g;
        }
        norms[t] = sqrt(norms[t]);
        if (has_none(r->model, (int)t)) {
            if (norms[t] > 1e-5) fail_msg("%s has a gradient", r->model->params[t].name);
            norms[t] = 1;
        }
        if (!(norms[t] > 1e-6)) fail_msg("%s has no gradient", r->model->params[t].name);
    }
    *skipped = 0;
    for (size_t i = 0; i < p->element_count; i++) {
        const struct element *e = &p->elements[i];
        const struct shk_param *param = &r->model->params[e->tensor];
        if (fabs(e->kink) / 2 > gradient_bound * norms[e->tensor]) {
            ++*skipped;
            continue;
        }
        double got = (double)r->engine.m[shk_param_position(param, e->index)] / (double)scale;
        double error = fabs(got - e->derivative) / norms[e->tensor];
        if (!(error > gradient_bound) && !(error > worst)) continue;
        worst = worse(worst, error);
        *name = param->name;
    }
    return worst;
}

// What no index maps to is +0, and no two indices map to one place.
static void check_padding(const struct shk_model *m) {
    bool *used = calloc(m->weight_floats, sizeof *used);
    for (unsigned t = 0; t < m->param_count; t++) {
        const struct shk_param *p = &m->params[t];
        for (size_t i = 0; i < p->size; i++) {
            size_t at = shk_param_position(p, i);
            assert_in_range(at, p->offset, p->offset + p->length - 1);
            assert_false(used[at]);
            used[at] = true;
        }
    }
    for (size_t i = 0; i < m->weight_floats; i++) {
        uint32_t bits;
        memcpy(&bits, &m->weights[i], sizeof bits);
        if (!used[i] && bits) fail_msg("pad %zu of the weights is %g", i, (double)m->weights[i]);
    }
    free(used);
}

// Every packing is that of the weights, but for that of dealt-out work where nothing reads it.
static void check_derived(const struct run *r, const struct problem *p) {
    struct problem from = *p;
    struct shk_model *m = from.model = r->model;
    struct shk_model *fresh = copy_model(&from);
    const struct shk_plan *plan = r->engine.plan;
    if (plan->dealt >= 0 && !plan->updates[0].derives) {
        const struct shk_param *unread = plan->updates[0].param;
        memcpy(fresh->derived + unread->derived_offset, m->derived + unread->derived_offset,
               unread->packed * sizeof(float));
    }
    assert_memory_equal(fresh->weights, m->weights, m->weight_floats * sizeof(float));
    if (m->derived_floats) assert_memory_equal(fresh->derived, m->derived, m->derived_floats * sizeof(float));
    shk_model_free(fresh);
}

static void same_run(const struct run *a, const struct run *b) {
    size_t bytes = a->model->weight_floats * sizeof(float);
    assert_memory_equal(a->model->weights, b->model->weights, bytes);
    assert_memory_equal(a->engine.m, b->engine.m, bytes);
    assert_memory_equal(a->engine.v, b->engine.v, bytes);
    assert_memory_equal(a->loss, b->loss, a->batch.n * sizeof(float));
    assert_memory_equal(a->predicted, b->predicted, a->batch.n * sizeof(uint32_t));
}

// `want` has taken all steps, with one worker.
static void check_bits(const struct run *want, const struct problem *p, const struct shk_kernels *k) {
    static const struct {
        unsigned workers;
        size_t slice;
        bool clips;
    } ways[] = {{1, 1, false}, {1, 3, false}, {2, 0, false}, {2, 1, false},
                {5, 0, false}, {5, 2, false}, {1, 0, true},  {3, 0, true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct run r;
        open_run(&r, p, k, ways[i].workers, ways[i].slice, true);
        if (ways[i].clips) assert_true(shk_engine_clip(&r.engine, &r.team, INFINITY, NULL));
        step(&r);
        more_steps(&r, p);
        same_run(want, &r);
        close_run(&r);
    }
}

struct errors {
    double logits, losses, gradients;
    size_t skipped;
    const char *name; // of the tensor with the worst gradient
};

// Evaluation, in one slice and in several; leaves `r` with the losses.
static void check_evaluation(struct run *r, const struct problem *p, const struct shk_kernels *k, struct errors *e) {
    float loss[MAX_BATCH];
    open_run(r, p, k, 1, 0, false);
    e->logits = logit_error(r, p);
    r->team.run(&r->team, forward_worker, r);
    e->losses = loss_error(r, p->losses);
    check_predicted(r, p);
    memcpy(loss, r->loss, sizeof loss);
    close_run(r);
    open_run(r, p, k, 2, 2, false);
    r->team.run(&r->team, forward_worker, r);
    assert_memory_equal(loss, r->loss, r->batch.n * sizeof *loss);
}

// Whether a training computes other values than an evaluation.
static bool differs(const struct shk_model *m) {
    for (unsigned i = 0; i < m->graph.count; i++) {
        const struct shk_layer *l = &m->graph.layers[i];
        if (l->kind == SHK_BATCH_NORM || l->kind == SHK_DROP_PATH || (l->kind == SHK_DROPOUT && l->dropout.p > 0) ||
            (l->kind == SHK_ATTENTION && l->attention.dropout > 0))
            return true;
    }
    return false;
}

static bool has_winograd(const struct shk_plan *plan) {
    for (unsigned i = 0; i < plan->op_count; i++)
        if (!strcmp(plan->ops[i]->type->name, "winograd")) return true;
    return false;
}

static void check_isa(struct run *r, const struct problem *p, const struct shk_kernels *k) {
    struct run evaluation;
    struct errors e = {.name = ""};
    check_evaluation(&evaluation, p, k, &e);
    open_run(r, p, k, 1, 0, true);
    step(r);
    e.losses = worse(e.losses, loss_error(r, p->training_losses));
    e.gradients = gradient_error(r, p, &e.skipped, &e.name);
    if (!differs(p->model)) assert_memory_equal(r->loss, evaluation.loss, r->batch.n * sizeof(float));
    close_run(&evaluation);
    printf("%-6s %-82s logits %.1e losses %.1e gradients %.1e (%s), %zu of %zu skipped\n", k->isa,
           p->check->description, e.logits, e.losses, e.gradients, e.name, e.skipped, p->element_count);
    assert_true(e.logits < (has_winograd(r->engine.plan) ? winograd_logit_bound : logit_bound));
    assert_true(e.losses < loss_bound);
    assert_true(e.gradients < gradient_bound);
    assert_true(e.skipped * 20 < p->element_count);
    more_steps(r, p);
    check_padding(r->model);
    check_derived(r, p);
    check_bits(r, p, k);
}

// Plain C is slow: every fourth model has it; with SHK_TEST_WHOLE all have.
static void check_model(const struct check *c, size_t index, float sharpness) {
    struct problem p;
    struct run first, other;
    open_problem(&p, c, sharpness);
    const size_t begin = index % 4 && shk_kernels_at(1) && !getenv("SHK_TEST_WHOLE");
    check_isa(&first, &p, shk_kernels_at(begin));
    const struct shk_kernels *k;
    for (size_t isa = begin + 1; (k = shk_kernels_at(isa)); isa++) {
        check_isa(&other, &p, k);
        same_run(&first, &other);
        close_run(&other);
    }
    close_run(&first);
    close_problem(&p);
}

static void test_model(void **state) {
    const struct check *c = *state;
    check_model(c, (size_t)(c - checks), 1);
}

static void test_saturated(void **state) {
    const struct check *c = *state;
    check_model(c, (size_t)(c - saturated), 300);
}

int main(void) {
    struct CMUnitTest tests[CHECKS + SATURATED];
    for (size_t i = 0; i < CHECKS; i++)
        tests[i] = (struct CMUnitTest){
            .name = checks[i].description, .test_func = test_model, .initial_state = (void *)&checks[i]};
    for (size_t i = 0; i < SATURATED; i++)
        tests[CHECKS + i] = (struct CMUnitTest){
            .name = saturated[i].description, .test_func = test_saturated, .initial_state = (void *)&saturated[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
