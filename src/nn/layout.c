// SPDX-License-Identifier: MIT
// Buffers: when each is alive, and where it lies so that what is never alive together shares memory.
#include "nn/plan_internal.h"

static const size_t slice_floats = 512 * 1024; // a slice's workspace is bounded by 2 MiB
enum { MAX_USES = 16 };

static unsigned uses_of(const struct shk_op *op, int uses[MAX_USES]) {
    unsigned n = 0;
    uses[n++] = op->in.buffer;
    uses[n++] = op->out.buffer;
    uses[n++] = op->in_grad.buffer;
    uses[n++] = op->out_grad.buffer;
    if (op->kind == &shk_op_conv) uses[n++] = op->u.conv.arg;
    if (op->kind == &shk_op_embed) uses[n++] = op->u.embed.patch_rows;
    if (op->kind == &shk_op_norm) uses[n++] = op->u.norm.stats;
    if (op->kind == &shk_op_linear) {
        uses[n++] = op->u.linear.residual.buffer;
        uses[n++] = op->u.linear.derivative;
        if (op->u.linear.before) uses[n++] = op->u.linear.before->u.linear.derivative;
        if (op->u.linear.before) uses[n++] = op->u.linear.before->u.linear.mask;
        uses[n++] = op->u.linear.mask;
        uses[n++] = op->u.linear.partials;
        uses[n++] = op->u.linear.dz.buffer;
    }
    if (op->kind == &shk_op_attention) {
        uses[n++] = op->u.attention.p;
        uses[n++] = op->u.attention.q.buffer;
        uses[n++] = op->u.attention.q_grad.buffer;
    }
    if (op->kind == &shk_op_cls_attention) {
        uses[n++] = op->u.cls_attention.q.buffer;
        uses[n++] = op->u.cls_attention.q_grad.buffer;
        uses[n++] = op->u.cls_attention.u;
        uses[n++] = op->u.cls_attention.p;
        uses[n++] = op->u.cls_attention.z;
        uses[n++] = op->u.cls_attention.r;
        uses[n++] = op->u.cls_attention.du;
        uses[n++] = op->u.cls_attention.dr;
    }
    return n;
}

// Gradients are alive in the backward pass only, but for the loss's, which the forward pass makes.
static bool is_gradient(const struct shk_op *op, int buffer) {
    if (op->kind == &shk_op_cross_entropy) return false;
    if (op->kind == &shk_op_linear && buffer == op->u.linear.derivative) return false;
    if (op->kind == &shk_op_linear && buffer == op->u.linear.dz.buffer) return true;
    if (op->kind == &shk_op_attention && buffer == op->u.attention.q_grad.buffer) return true;
    if (op->kind == &shk_op_cls_attention && (buffer == op->u.cls_attention.q_grad.buffer ||
                                              buffer == op->u.cls_attention.du || buffer == op->u.cls_attention.dr))
        return true;
    return buffer == op->in_grad.buffer || buffer == op->out_grad.buffer;
}

static void touch(struct shk_buffer *b, int time) {
    if (time < b->first) b->first = time;
    if (time > b->last) b->last = time;
}

static void find_lifetimes(struct shk_plan *p) {
    int ops = (int)p->op_count;
    for (unsigned i = 0; i < p->buffer_count; i++) {
        p->buffers[i].first = 2 * ops;
        p->buffers[i].last = -1;
    }
    for (int i = 0; i < ops; i++) {
        int uses[MAX_USES];
        unsigned n = uses_of(&p->ops[i], uses);
        for (unsigned j = 0; j < n; j++) {
            if (uses[j] < 0) continue;
            struct shk_buffer *b = &p->buffers[uses[j]];
            if (!is_gradient(&p->ops[i], uses[j])) touch(b, i);
            if (p->training) touch(b, 2 * ops - 1 - i);
        }
    }
}

// Whether a buffer lives from a stage of samples to the next, if this op is the batch layer.
static bool crosses(const struct shk_plan *p, const struct shk_buffer *b, int layer) {
    int back = 2 * (int)p->op_count - 1 - layer;
    return (b->first < layer && b->last >= layer) || (b->first <= back && b->last > back);
}

// A linear layer whose weights are worth more than what then has to be kept for all samples.
static bool may_be_batch_layer(const struct shk_plan *p, int layer) {
    enum { LEAST_WEIGHTS = 65536, MOST_KEPT = 16 }; // floats; times as much as the weights
    const struct shk_op *op = &p->ops[layer];
    if (op->kind != &shk_op_linear || !op->u.linear.batch_gradient || op->u.linear.partials < 0) return false;
    size_t kept = 0;
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (crosses(p, &p->buffers[i], layer)) kept += p->buffers[i].per_sample;
    return op->weight->length >= LEAST_WEIGHTS && kept <= MOST_KEPT * op->weight->length / p->batch;
}

static void choose_batch_layer(struct shk_plan *p) {
    p->batch_layer = -1;
    for (unsigned i = 0; p->training && i < p->op_count && p->batch_layer < 0; i++)
        if (may_be_batch_layer(p, (int)i)) p->batch_layer = (int)i;
    if (p->batch_layer < 0) return;
    p->buffers[p->ops[p->batch_layer].u.linear.partials].space = SHK_BATCH;
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (crosses(p, &p->buffers[i], p->batch_layer)) p->buffers[i].space = SHK_BATCH;
}

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
        const struct shk_op *op = &p->ops[i];
        size_t bytes = 0;
        if (op->kind == &shk_op_conv) bytes = shk_conv_pool_scratch(op->u.conv.h, op->u.conv.w, op->u.conv.in_ld);
        if (op->kind == &shk_op_attention)
            bytes = shk_attention_scratch(op->out.rows, op->u.attention.tokens, op->u.attention.d);
        if (op->kind == &shk_op_cls_attention)
            bytes = shk_cls_attention_scratch(op->in.rows, op->u.cls_attention.heads);
        if (bytes > most) most = bytes;
    }
    return (most + 63) & ~(size_t)63;
}

// As many samples as give each product 32 rows (then weights are read from cache often enough), CLS's of one row a sample
// too, but no more than stay near L2. A batch layer takes such products away, and what crosses to it is not in the
// workspace: then fewer samples do, whose maps stay in L2.
static size_t slice_of(const struct shk_plan *p, size_t per_sample) {
    size_t most = slice_floats / per_sample, rows = p->batch_layer < 0 ? SHK_MAX_SLICE : SHK_MAX_SLICE / 2;
    return most < rows ? most : rows;
}

void shk_plan_layout(struct shk_plan *p) {
    find_lifetimes(p);
    choose_batch_layer(p);
    size_t per_sample = place_workspace(p);
    p->slice = slice_of(p, per_sample);
    if (p->slice > p->batch) p->slice = p->batch;
    if (p->slice < 1) p->slice = 1;
    p->workspace_floats = per_sample * p->slice;
    p->scratch_bytes = kernel_scratch(p);
    for (unsigned i = 0; i < p->buffer_count; i++) {
        struct shk_buffer *b = &p->buffers[i];
        if (b->space == SHK_WORKSPACE) {
            b->offset *= p->slice;
        } else {
            b->offset = p->batch_floats;
            p->batch_floats += b->per_sample * p->batch;
        }
    }
}
