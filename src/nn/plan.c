// SPDX-License-Identifier: MIT
#include "base/clock.h"
#include "base/memory.h"
#include "nn/plan_internal.h"

enum { DEFAULT_SHARDS = 24 };

// 24 shards deal a batch of 64 out to 6, 12 and 24 workers as evenly as whole samples allow (11, 6 and 3 samples at
// most for 10.7, 5.3 and 2.7 on average); more shards only cost memory.
size_t shk_default_shards(size_t batch) { return batch < DEFAULT_SHARDS ? batch : DEFAULT_SHARDS; }

// The batch layer parts the samples' way: before it, and from it to the loss and back, and back from it.
static void set_stages(struct shk_plan *p) {
    unsigned n = p->op_count, layer = p->batch_layer < 0 ? 0 : (unsigned)p->batch_layer;
    struct shk_stage *s = p->stages;
    if (layer) {
        *s++ = (struct shk_stage){.kind = SHK_SAMPLES, .forward_end = layer};
        *s++ = (struct shk_stage){.kind = SHK_LAYER_FORWARD};
    }
    *s++ = (struct shk_stage){SHK_SAMPLES, layer, n, layer, n};
    if (layer) {
        *s++ = (struct shk_stage){.kind = SHK_LAYER_BACKWARD};
        *s++ = (struct shk_stage){.kind = SHK_SAMPLES, .backward_end = layer};
    }
    *s++ = (struct shk_stage){.kind = SHK_UPDATES};
    p->stage_count = (unsigned)(s - p->stages);
    *s++ = (struct shk_stage){.kind = SHK_GRADIENT_NORM};
    *s++ = (struct shk_stage){.kind = SHK_OPTIMIZER};
}

struct shk_plan *shk_plan_create(const struct shk_model *model, size_t batch, size_t shards, unsigned workers,
                                 bool training, struct shk_error *err) {
    struct shk_plan *p = shk_alloc(1, sizeof *p, "a plan", err);
    if (!p) return NULL;
    p->model = model;
    p->batch = batch;
    p->shards = shards < batch ? shards : batch;
    p->workers = workers;
    p->training = training;
    shk_plan_fuse(p);
    shk_plan_layout(p);
    set_stages(p);
    if (!training || shk_plan_updates(p, err)) return p;
    shk_plan_free(p);
    return NULL;
}

void shk_plan_free(struct shk_plan *p) {
    if (!p) return;
    shk_free(p->updates);
    shk_free(p);
}

static void run_op(const struct shk_plan *p, const struct shk_slice *s, unsigned i, enum shk_phase phase) {
    const struct shk_op *op = &p->ops[i];
    if (!op->kind->run[phase]) return;
    double start = s->times ? shk_seconds() : 0;
    op->kind->run[phase](op, s);
    if (s->times) s->times->op[i][phase] += shk_seconds() - start;
}

void shk_plan_forward(const struct shk_plan *p, const struct shk_slice *s, unsigned first, unsigned end) {
    for (unsigned i = first; i < end; i++) run_op(p, s, i, SHK_FORWARD);
}

void shk_plan_backward(const struct shk_plan *p, const struct shk_slice *s, unsigned first, unsigned end) {
    for (unsigned i = end; i-- > first;) {
        run_op(p, s, i, SHK_INPUT_GRADIENT);
        run_op(p, s, i, SHK_WEIGHT_GRADIENT);
    }
}

bool shk_next_segment(const struct shk_slice *s, struct shk_segment *g) {
    size_t first = g->samples ? g->start + g->samples : 0; // in the slice
    if (first >= s->samples || g->shard >= s->shards) return false;
    size_t shard_start = shk_shard_start(s->batch_samples, s->shards, g->shard);
    size_t shard_end = shk_shard_start(s->batch_samples, s->shards, g->shard + 1);
    size_t end = shard_end - s->first < s->samples ? shard_end - s->first : s->samples;
    g->start = first;
    g->samples = end - first;
    g->fresh = s->first + first == shard_start;
    g->grads = s->shard_grads + g->shard * s->plan->shard_floats;
    g->adds = s->grouped && g->shard % SHK_SHARD_GROUP;
    g->sums = g->adds ? g->grads - g->shard % SHK_SHARD_GROUP * s->plan->shard_floats : g->grads;
    g->apart = g->sums;
    if (g->adds) g->apart += s->plan->shard_floats; // the second shard's buffer, which a group has no use for otherwise
    g->shard++;
    return true;
}
