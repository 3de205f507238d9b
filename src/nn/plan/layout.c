// SPDX-License-Identifier: MIT
// Buffers lie so that what is never alive together shares memory. When each is alive follows from what the ops declared.
#include "nn/plan/layout.h"

static const size_t slice_floats = 512 * 1024; // a slice's workspace is bounded by 2 MiB

static void touch(struct shk_buffer *b, int time) {
    if (time < b->first) b->first = time;
    if (time > b->last) b->last = time;
}

static void find_lifetimes(struct shk_plan *p) {
    const int ops = (int)p->op_count;
    const unsigned forward = SHK_READS_FORWARD | SHK_WRITES_FORWARD,
                   backward = SHK_READS_BACKWARD | SHK_WRITES_BACKWARD;
    for (unsigned i = 0; i < p->buffer_count; i++) {
        p->buffers[i].first = 2 * ops;
        p->buffers[i].last = -1;
    }
    for (int i = 0; i < ops; i++) {
        const struct shk_op *op = p->ops[i];
        for (unsigned j = 0; j < op->use_count; j++) {
            struct shk_buffer *b = &p->buffers[op->uses[j].buffer];
            if (op->uses[j].when & forward) touch(b, i);
            if (p->training && (op->uses[j].when & backward)) touch(b, 2 * ops - 1 - i);
        }
    }
}

// ---- Tasks between slices

// Whether a buffer lives from slices to the next ones, if this op's tasks are between them.
static bool crosses(const struct shk_plan *p, const struct shk_buffer *b, int op) {
    int back = 2 * (int)p->op_count - 1 - op;
    return (b->first < op && b->last >= op) || (b->first <= back && b->last > back);
}

static size_t kept_for(const struct shk_plan *p, int op) {
    size_t kept = 0;
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (crosses(p, &p->buffers[i], op)) kept += p->buffers[i].per_sample;
    return kept;
}

// The first that wants to.
static void deal_out(struct shk_plan *p) {
    p->dealt = -1;
    for (unsigned i = 0; p->training && i < p->op_count && p->dealt < 0; i++) {
        struct shk_op *op = p->ops[i];
        op->dealt = op->type->deal_out && op->type->deal_out(op, p, kept_for(p, (int)i));
        if (op->dealt) p->dealt = (int)i;
    }
}

// What lives from slices to others, with tasks of an op between them, is held for all samples.
static void hold_what_crosses(struct shk_plan *p) {
    for (unsigned k = 0; k < p->op_count; k++) {
        struct shk_op *op = p->ops[k];
        op->meets = op->meets || op->dealt;
        p->whole = p->whole || op->of_batch;
        for (unsigned i = 0; op->meets && i < p->buffer_count; i++)
            if (crosses(p, &p->buffers[i], (int)k)) p->buffers[i].space = SHK_BATCH;
    }
}

// ---- Places

static bool share_time(const struct shk_buffer *a, const struct shk_buffer *b) {
    return a->kept || b->kept || (a->first <= b->last && b->first <= a->last);
}

// The lowest offset (floats a sample) at which `b` overlaps none of the placed buffers that are alive with it.
static size_t find_place(const struct shk_plan *p, const struct shk_buffer *b, const bool *placed) {
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < p->buffer_count; i++) {
            const struct shk_buffer *o = &p->buffers[i];
            if (!placed[i] || !share_time(b, o) || at >= o->offset + o->per_sample || o->offset >= at + b->per_sample)
                continue;
            at = o->offset + o->per_sample;
            moved = true;
        }
    }
    return at;
}

// Largest first.
static size_t place_workspace(struct shk_plan *p) {
    bool placed[SHK_MAX_BUFFERS] = {false};
    size_t total = 0;
    for (;;) {
        int largest = -1;
        for (unsigned i = 0; i < p->buffer_count; i++) {
            const struct shk_buffer *b = &p->buffers[i];
            if (placed[i] || b->space == SHK_BATCH || b->last < 0) continue;
            if (largest < 0 || b->per_sample > p->buffers[largest].per_sample) largest = (int)i;
        }
        if (largest < 0) return total;
        struct shk_buffer *b = &p->buffers[largest];
        b->offset = find_place(p, b, placed);
        placed[largest] = true;
        if (b->offset + b->per_sample > total) total = b->offset + b->per_sample;
    }
}

static size_t kernel_scratch(const struct shk_plan *p) {
    size_t most = 64;
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct shk_op *op = p->ops[i];
        size_t bytes = op->type->scratch ? op->type->scratch(op) : 0;
        if (bytes > most) most = bytes;
    }
    return (most + 63) & ~(size_t)63;
}

// As many samples as give each product 32 rows (then weights are read from cache often enough), those of one row a sample
// too, but no more than stay near L2. An op that deals out its work takes such products away, and what crosses to it is not
// in the workspace: then fewer samples do, whose maps stay in L2.
static size_t slice_of(const struct shk_plan *p, size_t per_sample) {
    size_t most = slice_floats / per_sample, rows = p->dealt < 0 ? SHK_MAX_SLICE : SHK_MAX_SLICE / 2;
    return most < rows ? most : rows;
}

void shk_plan_layout(struct shk_plan *p) {
    find_lifetimes(p);
    deal_out(p);
    hold_what_crosses(p);
    size_t per_sample = place_workspace(p);
    p->slice = slice_of(p, per_sample);
    if (p->slice > p->batch) p->slice = p->batch;
    if (p->slice < 1) p->slice = 1;
    p->workspace_floats = per_sample * p->slice;
    p->scratch_bytes = kernel_scratch(p);
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].space == SHK_WORKSPACE) p->buffers[i].offset *= p->slice;
}

void shk_plan_hold(struct shk_plan *p, size_t samples) {
    p->batch_floats = 0;
    for (unsigned i = 0; i < p->buffer_count; i++) {
        struct shk_buffer *b = &p->buffers[i];
        if (b->space != SHK_BATCH) continue;
        b->offset = p->batch_floats;
        p->batch_floats += b->per_sample * samples;
    }
}
