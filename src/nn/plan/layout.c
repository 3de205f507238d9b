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

// The buffers of one space, each with the times or stages in which it is alive.
struct placing {
    struct shk_plan *plan;
    enum shk_space space;
    struct span {
        int first, last; // last < first: it is not used
    } life[SHK_MAX_BUFFERS];
    bool placed[SHK_MAX_BUFFERS];
};

static bool are_together(const struct placing *s, unsigned a, unsigned b) {
    const struct span *x = &s->life[a], *y = &s->life[b];
    return s->plan->buffers[a].kept || s->plan->buffers[b].kept || (x->first <= y->last && y->first <= x->last);
}

// The lowest offset (floats a sample) at which buffer `b` overlaps none of the placed ones that are alive with it.
static size_t find_place(const struct placing *s, unsigned b) {
    const size_t floats = s->plan->buffers[b].per_sample;
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < s->plan->buffer_count; i++) {
            const struct shk_buffer *o = &s->plan->buffers[i];
            if (!s->placed[i] || !are_together(s, b, i) || at >= o->offset + o->per_sample || o->offset >= at + floats)
                continue;
            at = o->offset + o->per_sample;
            moved = true;
        }
    }
    return at;
}

// The largest buffer that has no place yet; -1: none.
static int next_to_place(const struct placing *s) {
    int largest = -1;
    for (unsigned i = 0; i < s->plan->buffer_count; i++) {
        const struct shk_buffer *b = &s->plan->buffers[i];
        if (s->placed[i] || b->space != s->space || s->life[i].last < s->life[i].first) continue;
        if (largest < 0 || b->per_sample > s->plan->buffers[largest].per_sample) largest = (int)i;
    }
    return largest;
}

// Offsets are of one sample. Returns the floats that all of them take.
static size_t place_all(struct placing *s) {
    size_t total = 0;
    for (int next; (next = next_to_place(s)) >= 0;) {
        struct shk_buffer *b = &s->plan->buffers[next];
        b->offset = find_place(s, (unsigned)next);
        s->placed[next] = true;
        if (b->offset + b->per_sample > total) total = b->offset + b->per_sample;
    }
    return total;
}

static void hold_samples(struct shk_plan *p, enum shk_space space, size_t samples) {
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (p->buffers[i].space == space) p->buffers[i].offset *= samples;
}

static size_t place_workspace(struct shk_plan *p) {
    struct placing s = {.plan = p, .space = SHK_WORKSPACE};
    for (unsigned i = 0; i < p->buffer_count; i++) s.life[i] = (struct span){p->buffers[i].first, p->buffers[i].last};
    return place_all(&s);
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
    const size_t rows = p->dealt < 0 ? SHK_MAX_SLICE : SHK_MAX_SLICE / 2;
    return per_sample * rows > slice_floats ? slice_floats / per_sample : rows; // none where all crosses meetings
}

// Floats a sample of the batch's space that an op goes through when it does what `when` says.
static size_t floats_passed(const struct shk_plan *p, const struct shk_op *op, unsigned when) {
    size_t floats = 0;
    for (unsigned j = 0; j < op->use_count; j++) {
        const struct shk_buffer *b = &p->buffers[op->uses[j].buffer];
        if ((op->uses[j].when & when) && b->space == SHK_BATCH) floats += b->per_sample;
    }
    return floats;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// Bounds of a stage's slices, in samples.
struct bounds {
    size_t least, most;
};

// What an op leaves in the batch's space should stay in L2 for the next one: 1.5 MiB, as nearly as samples are whole. But it should
// go through no less of it than of its weights, of which those of a convolution are packed for both directions.
static void bound(const struct shk_plan *p, const struct shk_op *op, unsigned when, struct bounds *b) {
    const size_t floats = larger(1, floats_passed(p, op, when));
    const size_t weights = op->weight ? larger(op->weight->length, op->weight->packed / 2) : 0;
    const size_t near = (3 * slice_floats / 4 + floats / 2) / floats;
    if (near < b->most) b->most = near;
    b->least = larger(b->least, weights / floats);
}

// Slices of one sample read a convolution's weights too often (of MobileNet's widest maps, one sample was slower than two).
size_t shk_plan_slice_of(const struct shk_plan *p, const struct shk_stage *s) {
    struct bounds b = {.least = 2, .most = p->slice};
    for (unsigned i = s->forward; i < s->forward_end; i++)
        bound(p, p->ops[i], SHK_READS_FORWARD | SHK_WRITES_FORWARD, &b);
    for (unsigned i = s->backward; i < s->backward_end; i++)
        bound(p, p->ops[i], SHK_READS_BACKWARD | SHK_WRITES_BACKWARD, &b);
    const size_t samples = larger(b.least, b.most);
    return samples < p->slice ? samples : p->slice;
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
    hold_samples(p, SHK_WORKSPACE, p->slice);
}

// ---- The batch's space

static void touch_stage(struct span *life, int stage) {
    if (stage < life->first) life->first = stage;
    if (stage > life->last) life->last = stage;
}

// The stages in which an op's slices and tasks run, in both directions.
struct stages_of_op {
    int slices[2], tasks[2]; // forward, backward; tasks -1: it has none
};

static struct stages_of_op stages_of(const struct shk_plan *p, unsigned op) {
    struct stages_of_op of = {.tasks = {-1, -1}};
    for (int i = 0; i < (int)p->stage_count; i++) {
        const struct shk_stage *s = &p->stages[i];
        if (s->kind == SHK_TASKS && s->op == op) of.tasks[s->phase != SHK_FORWARD] = i;
        if (s->kind != SHK_SLICES) continue;
        if (s->forward <= op && op < s->forward_end) of.slices[0] = i;
        if (s->backward <= op && op < s->backward_end) of.slices[1] = i;
    }
    return of;
}

// Tasks of an op may do what it has declared of a phase, too. Those of the whole batch's gradients come last, unless they lie
// behind the op's own.
static void touch_stages(const struct shk_plan *p, const struct shk_op *op, const struct stages_of_op *of,
                         unsigned when, struct span *life) {
    static const unsigned phases[] = {SHK_READS_FORWARD | SHK_WRITES_FORWARD, SHK_READS_BACKWARD | SHK_WRITES_BACKWARD};
    const bool by_tasks = when & (SHK_READS_TASKS | SHK_WRITES_TASKS);
    for (int i = 0; i < 2; i++) {
        if (when & phases[i]) touch_stage(life, of->slices[i]);
        if (((when & phases[i]) || by_tasks) && of->tasks[i] >= 0) touch_stage(life, of->tasks[i]);
    }
    if (by_tasks && !op->dealt) touch_stage(life, (int)p->stage_count - 1);
}

void shk_plan_hold(struct shk_plan *p, size_t samples) {
    struct placing s = {.plan = p, .space = SHK_BATCH};
    for (unsigned i = 0; i < p->buffer_count; i++) s.life[i] = (struct span){(int)p->stage_count, -1};
    for (unsigned i = 0; i < p->op_count; i++) {
        const struct shk_op *op = p->ops[i];
        const struct stages_of_op of = stages_of(p, i);
        for (unsigned j = 0; j < op->use_count; j++)
            touch_stages(p, op, &of, op->uses[j].when, &s.life[op->uses[j].buffer]);
    }
    p->batch_floats = place_all(&s) * samples;
    hold_samples(p, SHK_BATCH, samples);
}

// ---- What must be held

static bool is_saved(const struct shk_plan *p, unsigned buffer) {
    unsigned when = 0;
    for (unsigned i = 0; i < p->op_count; i++)
        for (unsigned j = 0; j < p->ops[i]->use_count; j++)
            if (p->ops[i]->uses[j].buffer == (int)buffer) when |= p->ops[i]->uses[j].when;
    return (when & SHK_WRITES_FORWARD) && (when & (SHK_READS_BACKWARD | SHK_READS_TASKS));
}

size_t shk_plan_saved(const struct shk_plan *p) {
    size_t floats = 0;
    for (unsigned i = 0; i < p->buffer_count; i++)
        if (is_saved(p, i)) floats += p->buffers[i].per_sample;
    return floats;
}
