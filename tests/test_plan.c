// SPDX-License-Identifier: MIT
// What every plan must hold, over many models, batches and workers: buffers that are alive together lie apart; what
// crosses from one stage to another is in the batch's space; each weight is updated exactly once, or listed as having no
// gradient; each op runs once in each direction. And of running: an op changes and reads only what it has declared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nn/ops/ops.h"
#include "nn/plan/op.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subject {
    const char *description;
    struct shk_shape shape;
};

static const struct subject subjects[] = {
    {"cnn:channels=5,hidden=0", {8, 8, 1, 2}},
    {"cnn:channels=12,hidden=7", {9, 12, 2, 5}},
    {"cnn:channels=16,hidden=33", {8, 13, 4, 11}},
    {"cnn:channels=5-12-20,hidden=10", {20, 17, 3, 10}},
    {"cnn:channels=4-32,hidden=150", {24, 24, 1, 9}}, // dealt out, but in the largest batches
    {"cnn:channels=16-32,hidden=128", {32, 32, 1, 9}},
    {"cnn:channels=1,hidden=4100", {8, 8, 1, 2}}, // a wide second layer: dealt out, in panels
    {"net:conv(5) relu conv(7,5,stride=2) gelu max_pool(3,2) mean linear(classes)", {13, 12, 1, 4}},
    {"net:conv(12) sum(conv(12,bias=no) relu conv(12)) relu sum(conv(18,stride=2) | conv(18,1,stride=2)) dropout(0.3) "
     "mean "
     "linear(classes)",
     {12, 15, 2, 5}},
    {"net:conv(20,2,2) sum(conv(20,5,groups=20) relu | conv(20,1,groups=2)) conv(40,3,2,groups=4) mean linear(classes)",
     {12, 9, 3, 4}},
    {"net:conv(20) hardswish se(2) sum(se(channels=3)) mean linear(classes)", {8, 9, 1, 4}},
    {"net:conv(18) relu max_pool(3,2,pad=1) sum(relu | avg_pool(3,1,1)) avg_pool(2) flatten linear(classes)",
     {12, 9, 1, 4}},
    {"net:conv(5) cat(conv(12) bn relu | conv(16) | relu | conv(3,1) | conv(32)) cat(bn relu conv(12)) max_pool(2) "
     "cat(flatten | "
     "mean) linear(classes)",
     {9, 8, 2, 3}},
    {"net:conv(5,bias=no) bn relu sum(conv(5) bn | bn(ghost=yes)) relu max_pool(2) mean linear(6) bn linear(classes)",
     {9, 8, 2, 3}},
    {"net:conv(5,bias=no) bn hardswish sum(conv(5) bn silu conv(5) bn) sum(dropout(0) | bn) relu sum(bn) bn mean "
     "linear(classes)",
     {9, 8, 2, 3}},
    {"net:bn sum(conv(5,stride=2) | max_pool(2) conv(5,1)) relu flatten bn relu linear(classes)", {8, 10, 3, 3}},
    {"net:conv(5) relu sum(conv(20,5,stride=2) tokens cls_token | patch_embed(20,2) cls_token positions) "
     "positions(sincos) "
     "encoder(2,24) cls linear(classes)",
     {8, 8, 2, 3}},
    {"net:conv(20,stride=2) tokens sum(encoder(2,24,drop_path=0.2) | ln,drop_path=0.3) sum(seq_pool | mean) "
     "linear(classes)",
     {8, 8, 1, 3}},
    {"vit:dim=12,depth=1,heads=3,patch=4,ff=20,dropout=0", {8, 8, 1, 5}},
    {"vit:dim=12,depth=2,heads=3,patch=2,ff=20,dropout=0.3", {8, 8, 1, 5}},
    {"vit:dim=12,depth=2,heads=3,patch=4,ff=20,dropout=0.3,norm=pre,act=gelu", {8, 12, 3, 11}},
    {"vit:dim=12,depth=3,heads=2,patch=4,ff=10,dropout=0,norm=pre,act=gelu", {8, 8, 2, 9}},
    {"vit:dim=40,depth=1,heads=2,patch=5,ff=36,dropout=0,pool=mean", {10, 15, 1, 9}},
    {"vit:dim=40,depth=2,heads=2,patch=5,ff=36,dropout=0.3,pool=mean,act=gelu", {10, 10, 1, 3}},
    {"vit:dim=20,depth=2,heads=5,patch=4,ff=24,dropout=0.3,pool=mean,norm=pre,pos=none", {8, 16, 4, 7}},
    {"vit:dim=20,depth=1,heads=5,patch=4,ff=24,dropout=0.3,norm=pre,act=gelu,pos=none", {8, 8, 1, 4}},
    {"vit:dim=12,depth=3,heads=1,patch=4,ff=10,dropout=0.3,act=gelu", {8, 8, 1, 9}},
    {"vit:dim=64,depth=2,heads=4,patch=4,ff=256", {32, 32, 1, 9}},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static const size_t batches[] = {1, 5, 64, 257, 300};
static const unsigned workers[] = {1, 2, 5, 16};
enum { BEFORE = 2 }; // samples of the round that are of another block
enum { BATCHES = sizeof batches / sizeof *batches, WORKERS = sizeof workers / sizeof *workers };

static struct shk_model *model_of(const struct subject *s) {
    struct shk_error err;
    struct shk_model *m = shk_model_create(s->description, &s->shape, 5, &err);
    if (!m) fail_msg("%s: %s", s->description, err.text);
    return m;
}

static struct shk_plan *plan_of(const struct shk_model *m, size_t batch, unsigned team, bool training) {
    struct shk_error err;
    struct shk_plan *p = shk_plan_create(m, shk_ops, batch, team, training, &err);
    if (!p) fail_msg("%s: %s", m->config.description, err.text);
    shk_plan_hold(p, BEFORE + batch);
    return p;
}

// ---- Buffers: when they are used, by what the ops have declared

enum { FORWARD = SHK_READS_FORWARD | SHK_WRITES_FORWARD, BACKWARD = SHK_READS_BACKWARD | SHK_WRITES_BACKWARD };
enum { WRITES = SHK_WRITES_FORWARD | SHK_WRITES_BACKWARD | SHK_WRITES_TASKS };

struct life {
    int first, last;             // times
    bool written;                // by the first op that uses it
    int first_stage, last_stage; // of slices
    int begin, end;              // of all stages: slices of stage s at 2 s, tasks behind them at 2 s + 1
    bool tasks;
};

// Of stages of slices, between which are the tasks of ops at which all meet.
static int stage_of(const struct shk_plan *p, int op, bool backward) {
    int before = 0, all = 0;
    for (int i = 0; i < (int)p->op_count; i++) {
        all += p->ops[i]->meets;
        before += p->ops[i]->meets && i <= op;
    }
    return backward ? 2 * all - before : before;
}

static void use(struct life *l, const struct shk_use *u, int time, int stage) {
    if (time < l->first) {
        l->first = time;
        l->written = u->when & WRITES;
        l->first_stage = stage;
    }
    if (time >= l->last) {
        l->last = time;
        l->last_stage = stage;
    }
}

static void hold(struct life *l, int moment) {
    if (moment < l->begin) l->begin = moment;
    if (moment > l->end) l->end = moment;
}

// While the batch's space must hold it. An op at which all meet has its tasks before its slices forward, and behind them
// backward; gradients of the whole batch are made behind all slices.
static void hold_for(struct life *l, const struct shk_plan *p, int i, unsigned when) {
    const bool tasks = when & (SHK_READS_TASKS | SHK_WRITES_TASKS), meets = p->ops[i]->meets;
    const int forward = 2 * stage_of(p, i, false), backward = 2 * stage_of(p, i, true);
    if (when & FORWARD) hold(l, forward);
    if (when & BACKWARD) hold(l, backward);
    if (meets && ((when & FORWARD) || tasks)) hold(l, forward - 1);
    if (meets && ((when & BACKWARD) || tasks)) hold(l, backward + 1);
    if (tasks && !p->ops[i]->dealt) hold(l, 2 * stage_of(p, 0, true) + 1);
}

static struct life life_of(const struct shk_plan *p, int buffer) {
    const int n = (int)p->op_count;
    struct life l = {.first = 2 * n, .last = -1, .begin = 8 * n, .end = -1};
    for (int i = 0; i < n; i++) {
        for (unsigned j = 0; j < p->ops[i]->use_count; j++) {
            const struct shk_use *u = &p->ops[i]->uses[j];
            if (u->buffer != buffer) continue;
            if (u->when & FORWARD) use(&l, u, i, stage_of(p, i, false));
            if (p->training && (u->when & BACKWARD)) use(&l, u, 2 * n - 1 - i, stage_of(p, i, true));
            if (p->training) hold_for(&l, p, i, u->when);
            l.tasks |= p->training && (u->when & (SHK_READS_TASKS | SHK_WRITES_TASKS));
        }
    }
    return l;
}

static bool together(const struct shk_buffer *a, const struct life *x, const struct shk_buffer *b,
                     const struct life *y) {
    if (a->space != b->space) return false;
    if (a->kept || b->kept) return true;
    if (a->space == SHK_BATCH) return x->begin <= y->end && y->begin <= x->end;
    return x->first <= y->last && y->first <= x->last;
}

static size_t floats_of(const struct shk_plan *p, const struct shk_buffer *b) {
    return b->per_sample * (b->space == SHK_BATCH ? BEFORE + p->batch : p->slice);
}

static void check_buffers(const struct shk_plan *p) {
    struct life lives[SHK_MAX_BUFFERS];
    for (unsigned i = 0; i < p->buffer_count; i++) {
        const struct shk_buffer *b = &p->buffers[i];
        const struct life l = lives[i] = life_of(p, (int)i);
        const size_t all = b->space == SHK_BATCH ? p->batch_floats : p->workspace_floats;
        assert_true(b->offset + floats_of(p, b) <= all);
        assert_int_equal(b->offset % 16, 0);
        assert_int_equal(b->per_sample % 16, 0);
        if (b->space == SHK_BATCH) continue;
        if (l.tasks) fail_msg("%s: buffer %u of tasks is not in the batch's space", p->model->config.description, i);
        if (l.last < 0) continue; // unused
        if (!l.written) fail_msg("%s: buffer %u is read before it is written", p->model->config.description, i);
        if (l.first_stage != l.last_stage)
            fail_msg("%s: buffer %u crosses stages, but is not in the batch's space", p->model->config.description, i);
    }
    for (unsigned i = 0; i < p->buffer_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct shk_buffer *a = &p->buffers[i], *b = &p->buffers[j];
            if (lives[i].last < 0 || lives[j].last < 0 || !together(a, &lives[i], b, &lives[j])) continue;
            if (a->offset < b->offset + floats_of(p, b) && b->offset < a->offset + floats_of(p, a))
                fail_msg("%s: buffers %u and %u share memory", p->model->config.description, i, j);
        }
    }
}

// ---- Updates

static void count(unsigned char *counts, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) counts[i]++;
}

static void count_update(const struct shk_update *u, unsigned char *counts) {
    for (size_t piece = 0; piece < shk_update_pieces(u); piece++) count(counts, shk_update_at(u, piece), u->length);
    if (!u->bias) return;
    size_t n, first = shk_update_bias(u, &n);
    count(counts, u->op->bias->offset + first, n);
}

// Every float of every parameter, its padding too.
static void check_weights(const struct shk_plan *p) {
    const struct shk_model *m = p->model;
    unsigned char *counts = calloc(m->weight_floats, 1);
    for (unsigned i = 0; i < p->update_count; i++) count_update(&p->updates[i], counts);
    for (unsigned i = 0; i < p->no_gradient_count; i++)
        count(counts, p->no_gradients[i].param->offset + p->no_gradients[i].start, p->no_gradients[i].length);
    for (unsigned t = 0; t < m->param_count; t++)
        for (size_t i = 0; i < m->params[t].length; i++)
            if (counts[m->params[t].offset + i] != 1)
                fail_msg("%s: float %zu of %s is updated %u times", m->config.description, i, m->params[t].name,
                         counts[m->params[t].offset + i]);
    free(counts);
}

// Every float of a shard's gradients.
static void check_shard(const struct shk_plan *p) {
    unsigned char *counts = calloc(p->shard_floats + 1, 1);
    for (unsigned i = 0; i < p->update_count; i++) {
        const struct shk_update *u = &p->updates[i];
        if (u->of_batch) continue;
        assert_true(u->shard_grad + u->length <= p->shard_floats);
        count(counts, u->shard_grad, u->length);
    }
    for (size_t i = 0; i < p->shard_floats; i++) assert_int_equal(counts[i], 1);
    free(counts);
}

// A packing that a step reads follows from all of its weights, or from none if nothing reads it.
static void check_packings(const struct shk_plan *p) {
    for (unsigned i = 0; i < p->update_count; i++) {
        const struct shk_update *u = &p->updates[i];
        if (!u->param->packing) {
            assert_false(u->derives);
        } else if (!u->derives) {
            assert_ptr_equal(u->op, p->dealt < 0 ? NULL : p->ops[p->dealt]);
        }
    }
}

// ---- Stages

static void check_stages(const struct shk_plan *p) {
    unsigned forward = 0, backward = p->op_count, updates = 0;
    for (unsigned i = 0; i < p->stage_count; i++) {
        const struct shk_stage *s = &p->stages[i];
        if (s->kind == SHK_SLICES) {
            assert_in_range(s->slice, 1, p->slice);
            if (s->forward < s->forward_end) assert_int_equal(s->forward, forward);
            forward = s->forward < s->forward_end ? s->forward_end : forward;
            if (s->backward < s->backward_end) assert_int_equal(s->backward_end, backward);
            backward = s->backward < s->backward_end ? s->backward : backward;
            assert_int_equal(forward == p->op_count && s->forward < s->forward_end,
                             (s->publishes & SHK_PUBLISHES_LOSSES) != 0);
        } else {
            assert_int_equal(s->first_update, updates);
            updates += s->updates * (unsigned)(s->kind == SHK_TASKS ? shk_plan_tasks(p, s) : 1);
        }
    }
    assert_int_equal(forward, p->op_count);
    assert_int_equal(backward, 0);
    assert_int_equal(updates, p->update_count);
}

static void check_plan(const struct shk_plan *p) {
    check_buffers(p);
    assert_true(p->slice >= 1 && p->slice <= p->batch && p->slice <= SHK_MAX_SLICE);
    if (!p->training) {
        assert_int_equal(p->batch_floats, 0);
        return;
    }
    check_weights(p);
    check_shard(p);
    check_packings(p);
    check_stages(p);
}

static void test_plans(void **state) {
    (void)state;
    size_t plans = 0, dealt = 0;
    for (size_t s = 0; s < SUBJECTS; s++) {
        struct shk_model *m = model_of(&subjects[s]);
        for (size_t i = 0; i < BATCHES * WORKERS * 2; i++) {
            struct shk_plan *p = plan_of(m, batches[i / 2 % BATCHES], workers[i / 2 / BATCHES], i % 2);
            check_plan(p);
            plans++;
            dealt += p->dealt >= 0;
            shk_plan_free(p);
        }
        shk_model_free(m);
    }
    printf("%zu plans, %zu deal out an op's work\n", plans, dealt);
    assert_true(dealt > 0);
}

// ---- Memory

#define BLOCK(c) "sum(conv(" #c ",bias=no) bn relu conv(" #c ",bias=no) bn) relu "
#define NARROWER(c)                                                                                                    \
    "sum(conv(" #c ",stride=2,bias=no) bn relu conv(" #c ",bias=no) bn | conv(" #c ",1,stride=2,bias=no) bn) relu "

// ResNet-20: of a map the outputs of convolutions are kept, those of normalisations with a ReLU, and sums. The space of the batch
// is little more than these.
static void test_held(void **state) {
    (void)state;
    static const struct subject resnet = {"net:conv(16,bias=no) bn relu 3*(" BLOCK(16) ") " NARROWER(32) "2*(" BLOCK(
                                              32) ") " NARROWER(64) "2*(" BLOCK(64) ") mean linear(classes)",
                                          {32, 32, 1, 9}};
    const size_t maps = 32 * 32 + 14 * 32 * 32 * 16 + 13 * 16 * 16 * 32 + 13 * 8 * 8 * 64;
    struct shk_model *m = model_of(&resnet);
    struct shk_plan *p = plan_of(m, 64, 2, true);
    const double held = (double)p->batch_floats / (double)(BEFORE + 64), saved = (double)shk_plan_saved(p);
    assert_true(saved >= (double)maps && saved <= 1.01 * (double)maps);
    assert_true(held >= saved - 32 * 32); // the image is a slice's
    size_t least = SHK_MAX_SLICE, most = 0;
    for (const struct shk_stage *s = p->stages; s < p->stages + p->stage_count; s++) {
        if (s->kind != SHK_SLICES) continue;
        least = s->slice < least ? s->slice : least;
        most = s->slice > most ? s->slice : most;
    }
    assert_in_range(least, 6, 8); // where an op goes through three maps of 64 KB, or four
    assert_int_equal(most, p->slice);
    if (held > 1.1 * saved) fail_msg("%.0f floats a sample are held, %.0f saved", held, saved);
    shk_plan_free(p);
    shk_model_free(m);
}

// ---- Running op by op

enum { MAX_BATCH = 48 };

// All that an op may change, and scratch.
struct memory {
    float *workspace, *batch, *grads;
    float loss[MAX_BATCH];
    uint32_t predicted[MAX_BATCH];
};

struct run {
    const struct subject *subject;
    struct shk_model *model;
    struct shk_plan *plan;
    const struct shk_kernels *k;
    size_t shards; // of the batch, and behind them one buffer of gradients more
    struct shk_cut cut;
    size_t workspace_bytes, batch_bytes, grad_bytes;
    struct memory now, before, after; // now: the one in use
    float *scratch, *tasks, *other_tasks;
    float *images[MAX_BATCH];
    uint32_t labels[MAX_BATCH], ids[MAX_BATCH];
    // Of each float of workspace and batch space: may be written, read; else poisoned, but for what is to stay.
    bool *writes[2], *reads[2], *stays[2];
};

static void *bytes(size_t n) { return aligned_alloc(64, (n + 127) / 64 * 64); }

static void copy(const struct run *r, struct memory *to, const struct memory *from) {
    memcpy(to->workspace, from->workspace, r->workspace_bytes);
    memcpy(to->batch, from->batch, r->batch_bytes);
    memcpy(to->grads, from->grads, r->grad_bytes);
    memcpy(to->loss, from->loss, sizeof to->loss);
    memcpy(to->predicted, from->predicted, sizeof to->predicted);
}

static struct memory memory_of(const struct run *r) {
    return (struct memory){bytes(r->workspace_bytes), bytes(r->batch_bytes), bytes(r->grad_bytes), {0}, {0}};
}

static void memory_free(struct memory *m) {
    free(m->workspace);
    free(m->batch);
    free(m->grads);
}

static float noise(uint32_t *state) { // -1 .. 1
    *state = *state * 1664525 + 1013904223;
    return (float)(*state >> 8) * 0x1p-23f - 1;
}

// Numbers that mean nothing, but 0 in buffers that keep their borders.
static void fill(struct run *r) {
    const struct shk_plan *p = r->plan;
    uint32_t state = 7;
    for (size_t i = 0; i < r->workspace_bytes / sizeof(float); i++) r->now.workspace[i] = noise(&state);
    for (size_t i = 0; i < r->batch_bytes / sizeof(float); i++) r->now.batch[i] = noise(&state);
    memset(r->now.grads, 0xff, r->grad_bytes);
    for (unsigned i = 0; i < p->buffer_count; i++) {
        const struct shk_buffer *b = &p->buffers[i];
        float *at = (b->space == SHK_BATCH ? r->now.batch : r->now.workspace) + b->offset;
        if (b->kept) memset(at, 0, floats_of(p, b) * sizeof(float));
    }
}

// Gives each buffer its own memory, so that what is not declared is not hidden by what is.
static void spread(struct shk_plan *p) {
    p->workspace_floats = p->batch_floats = 0;
    for (unsigned i = 0; i < p->buffer_count; i++) {
        struct shk_buffer *b = &p->buffers[i];
        size_t *floats = b->space == SHK_BATCH ? &p->batch_floats : &p->workspace_floats;
        b->offset = *floats;
        *floats += floats_of(p, b);
    }
}

static void open_run(struct run *r, const struct subject *s, const struct shk_kernels *k, size_t batch, size_t shards,
                     bool training) {
    *r = (struct run){.subject = s, .model = model_of(s), .k = k};
    struct shk_plan *p = r->plan = plan_of(r->model, batch, 2, training);
    r->shards = shards;
    r->cut = shk_cut_of(batch, shards);
    spread(p);
    const size_t pixels = s->shape.height * s->shape.width * s->shape.channels;
    uint32_t state = 3;
    r->workspace_bytes = p->workspace_floats * sizeof(float);
    r->batch_bytes = p->batch_floats * sizeof(float);
    r->grad_bytes = training ? (shards + 1) * p->shard_floats * sizeof(float) : 0;
    r->now = memory_of(r);
    r->before = memory_of(r);
    r->after = memory_of(r);
    r->scratch = bytes(p->scratch_bytes);
    r->tasks = bytes(SHK_TASK_SCRATCH * sizeof(float));
    r->other_tasks = bytes(SHK_TASK_SCRATCH * sizeof(float));
    for (int i = 0; i < 2; i++) {
        const size_t n = (i ? p->batch_floats : p->workspace_floats) + 1;
        r->writes[i] = malloc(n);
        r->reads[i] = malloc(n);
        r->stays[i] = malloc(n);
    }
    for (size_t i = 0; i < batch; i++) {
        r->images[i] = malloc(pixels * sizeof(float));
        for (size_t j = 0; j < pixels; j++) r->images[i][j] = noise(&state);
        r->labels[i] = (uint32_t)(i % s->shape.classes);
        r->ids[i] = (uint32_t)(3 * i + 1);
    }
    fill(r);
}

static void close_run(struct run *r) {
    for (size_t i = 0; i < r->plan->batch; i++) free(r->images[i]);
    for (int i = 0; i < 2; i++) {
        free(r->writes[i]);
        free(r->reads[i]);
        free(r->stays[i]);
    }
    free(r->scratch);
    free(r->tasks);
    free(r->other_tasks);
    memory_free(&r->now);
    memory_free(&r->before);
    memory_free(&r->after);
    shk_plan_free(r->plan);
    shk_model_free(r->model);
}

// ---- What an op has declared

// The floats of some of a buffer's samples: of the round, or of a slice.
static size_t part_of(const struct run *r, const struct shk_buffer *b, size_t first, size_t n, size_t *at) {
    const bool whole = b->space == SHK_BATCH;
    *at = b->offset + (whole ? first * b->per_sample : 0);
    return b->per_sample * (whole || n < r->plan->slice ? n : r->plan->slice);
}

static void mark(const struct run *r, bool *const marks[2], int buffer, size_t first, size_t n) {
    const struct shk_buffer *b = &r->plan->buffers[buffer];
    size_t at, floats = part_of(r, b, first, n, &at);
    memset(marks[b->space == SHK_BATCH] + at, true, floats);
}

// Of a kept buffer what is not in the view that is written: its border. Where there is no view, nothing is known of it: all
// of it may be read.
static void mark_border(const struct run *r, const struct shk_op *op, int buffer, size_t first, size_t n) {
    const struct shk_buffer *b = &r->plan->buffers[buffer];
    size_t at, floats = part_of(r, b, first, n, &at);
    bool *stays = r->stays[b->space == SHK_BATCH] + at;
    if (op->out.buffer != buffer) {
        mark(r, r->reads, buffer, first, n);
        return;
    }
    memset(stays, true, floats);
    for (size_t i = 0; i < floats / b->per_sample * op->out.rows; i++)
        memset(stays + i / op->out.rows * b->per_sample + op->out.offset + i % op->out.rows * op->out.ld, false,
               op->out.cols);
}

static void declare(const struct run *r, const struct shk_op *op, unsigned reads, unsigned writes, size_t first,
                    size_t n) {
    for (int i = 0; i < 2; i++) {
        const size_t floats = i ? r->plan->batch_floats : r->plan->workspace_floats;
        memset(r->writes[i], false, floats);
        memset(r->reads[i], false, floats);
        memset(r->stays[i], false, floats);
    }
    for (unsigned j = 0; j < op->use_count; j++) {
        const struct shk_use *u = &op->uses[j];
        if (u->when & writes) mark(r, r->writes, u->buffer, first, n);
        if (u->when & reads) mark(r, r->reads, u->buffer, first, n);
        if ((u->when & reads) && (u->when & SHK_USES_OF_BATCH)) mark(r, r->reads, u->buffer, BEFORE, 1);
        if ((u->when & writes) && r->plan->buffers[u->buffer].kept) mark_border(r, op, u->buffer, first, n);
    }
}

static void poison(const struct run *r, float *x, int space, size_t floats) {
    for (size_t i = 0; i < floats; i++)
        if (!r->reads[space][i] && !r->stays[space][i]) memset(&x[i], 0xff, sizeof *x);
}

// Changed nothing that is not declared, nor a border.
static void check_untouched(const struct run *r, const struct shk_op *op, const char *what, int space, const float *was,
                            const float *is, size_t floats) {
    if (memcmp(was, is, floats * sizeof *was) == 0) return;
    for (size_t i = 0; i < floats; i++)
        if (memcmp(&was[i], &is[i], sizeof *was) != 0 && (!r->writes[space][i] || r->stays[space][i]))
            fail_msg("%s: %s (%s) %s changes float %zu of the %s, which it has not declared", r->subject->description,
                     op->type->name, op->name, what, i, space ? "batch's space" : "workspace");
}

// Whether a number is still what it was, of poison and of another, but for its sign, which marks dropped weights, pads too.
static bool left_alone(const float *was, const float *is, const float *other) {
    uint32_t x[3];
    memcpy(&x[0], was, sizeof *x);
    memcpy(&x[1], is, sizeof *x);
    memcpy(&x[2], other, sizeof *x);
    for (int i = 0; i < 32; i += 16) { // a mask has two in a float
        const uint32_t a = x[0] >> i & 0xffff, b = x[1] >> i & 0xffff, c = x[2] >> i & 0xffff;
        const uint32_t sign = i ? 0x8000 : 0;
        if (b != c && ((a | sign) != (b | sign) || (c | sign) != 0xffff)) return false;
    }
    return true;
}

// Made the same of what it may read, whatever else there was.
static void check_same(const struct run *r, const struct shk_op *op, const char *what, int space, const float *was,
                       const float *is, const float *other, size_t floats) {
    for (size_t i = 0; i < floats; i++)
        if (r->writes[space][i] && memcmp(&is[i], &other[i], sizeof *is) != 0 &&
            !left_alone(&was[i], &is[i], &other[i]))
            fail_msg("%s: %s (%s) %s reads what it has not declared: float %zu of the %s is %g and %g",
                     r->subject->description, op->type->name, op->name, what, i, space ? "batch's space" : "workspace",
                     (double)is[i], (double)other[i]);
}

// Of the shards' gradients an op changes its own.
static void check_grads(const struct run *r, const struct shk_op *op, bool backward) {
    const struct shk_plan *p = r->plan;
    if (memcmp(r->before.grads, r->now.grads, r->grad_bytes) == 0) return;
    unsigned char *mine = calloc(p->shard_floats, 1);
    for (unsigned i = 0; backward && i < p->update_count; i++)
        if (p->updates[i].op == op && !p->updates[i].of_batch)
            count(mine, p->updates[i].shard_grad, p->updates[i].length);
    for (size_t i = 0; i < (r->shards + 1) * p->shard_floats; i++)
        if (!mine[i % p->shard_floats] && memcmp(&r->before.grads[i], &r->now.grads[i], sizeof(float)) != 0)
            fail_msg("%s: %s (%s) changes another op's gradients", r->subject->description, op->type->name, op->name);
    free(mine);
}

// ---- A slice

enum { GROUP = 4 }; // shards

struct cut {
    size_t first, samples;
    bool grouped; // whole shards, whose gradients are added to those of the first of each group
};

static size_t shard_start(const struct run *r, size_t shard) { return shard * r->plan->batch / r->shards; }

static size_t shard_of(const struct run *r, size_t sample) {
    size_t s = 0;
    while (shard_start(r, s + 1) <= sample) s++;
    return s;
}

// The part of a slice from sample `at` of the batch on that is of one shard.
static struct shk_segment segment_of(const struct run *r, struct cut c, size_t at) {
    const size_t shard = shard_of(r, at), end = shard_start(r, shard + 1), last = c.first + c.samples;
    const size_t floats = r->plan->shard_floats;
    struct shk_segment g = {.start = at - c.first, .samples = (end < last ? end : last) - at};
    g.first = at == shard_start(r, shard);
    g.append = c.grouped && shard % GROUP;
    g.sums = r->now.grads + (c.grouped ? shard / GROUP * GROUP : shard) * floats;
    g.own = g.append ? r->now.grads + r->shards * floats : g.sums;
    return g;
}

static void run_op(struct run *r, struct cut c, unsigned op, bool backward) {
    const struct shk_plan *p = r->plan;
    struct shk_segment segments[MAX_BATCH];
    unsigned count = 0;
    for (size_t at = c.first; at < c.first + c.samples; at += segments[count++].samples)
        segments[count] = segment_of(r, c, at);
    const struct shk_slice s = {.plan = p,
                                .k = r->k,
                                .weights = r->model->weights,
                                .derived = r->model->derived,
                                .workspace = r->now.workspace,
                                .batch_space = p->training ? r->now.batch : NULL,
                                .scratch = r->scratch,
                                .first = BEFORE + c.first,
                                .origin = BEFORE,
                                .block = BEFORE,
                                .samples = c.samples,
                                .batch_samples = p->batch,
                                .images = (const float *const *)r->images + c.first,
                                .labels = r->labels + c.first,
                                .ids = r->ids + c.first,
                                .segment_count = count,
                                .segments = segments,
                                .loss = r->now.loss + c.first,
                                .predicted = r->now.predicted + c.first,
                                .seed = 11,
                                .epoch = 2};
    memset(r->scratch, 0xff, p->scratch_bytes);
    (backward ? shk_plan_backward : shk_plan_forward)(p, &s, op, op + 1);
}

static void check_op(struct run *r, struct cut c, unsigned i, bool backward) {
    const struct shk_plan *p = r->plan;
    const struct shk_op *op = p->ops[i];
    const char *what = backward ? "backward" : "forward";
    declare(r, op, backward ? SHK_READS_BACKWARD : SHK_READS_FORWARD,
            backward ? SHK_WRITES_BACKWARD : SHK_WRITES_FORWARD, BEFORE + c.first, c.samples);
    copy(r, &r->before, &r->now);
    run_op(r, c, i, backward);
    check_untouched(r, op, what, 0, r->before.workspace, r->now.workspace, p->workspace_floats);
    check_untouched(r, op, what, 1, r->before.batch, r->now.batch, p->batch_floats);
    check_grads(r, op, backward);
    copy(r, &r->after, &r->now);
    copy(r, &r->now, &r->before);
    poison(r, r->now.workspace, 0, p->workspace_floats);
    poison(r, r->now.batch, 1, p->batch_floats);
    run_op(r, c, i, backward);
    check_same(r, op, what, 0, r->before.workspace, r->after.workspace, r->now.workspace, p->workspace_floats);
    check_same(r, op, what, 1, r->before.batch, r->after.batch, r->now.batch, p->batch_floats);
    if (memcmp(r->after.grads, r->now.grads, r->grad_bytes) != 0)
        fail_msg("%s: %s (%s) makes its gradients of what it has not declared", r->subject->description, op->type->name,
                 op->name);
    assert_memory_equal(r->after.loss, r->now.loss, sizeof r->now.loss);
    assert_memory_equal(r->after.predicted, r->now.predicted, sizeof r->now.predicted);
    copy(r, &r->now, &r->after);
}

static void run_slice(struct run *r, const struct shk_stage *s, struct cut c, bool check) {
    for (unsigned i = s->forward; i < s->forward_end; i++) (check ? check_op : run_op)(r, c, i, false);
    for (unsigned i = s->backward_end; i-- > s->backward;) (check ? check_op : run_op)(r, c, i, true);
}

// Grouped: three shards a slice. Else the slices begin and end within shards. The second is checked, or the only one.
static void run_slices(struct run *r, const struct shk_stage *s, bool grouped) {
    const struct shk_plan *p = r->plan;
    const size_t part = (p->batch + 2) / 3, step = part < p->slice ? part : p->slice;
    for (size_t at = 0, n, i = 0; at < p->batch; at += n, i++) {
        struct cut c = {.first = at, .grouped = grouped};
        const size_t shard = shard_of(r, at), end = shard + 3 < r->shards ? shard + 3 : r->shards;
        n = grouped ? shard_start(r, end) - at : p->batch - at < step ? p->batch - at : step;
        assert_true(n <= p->slice);
        c.samples = n;
        run_slice(r, s, c, i == 1 || n == p->batch);
    }
}

// ---- Tasks over the whole batch

static struct shk_whole_batch whole_batch_of(const struct run *r, float *batch_space) {
    return (struct shk_whole_batch){.plan = r->plan,
                                    .k = r->k,
                                    .weights = r->model->weights,
                                    .derived = r->model->derived,
                                    .batch_space = batch_space,
                                    .first = BEFORE,
                                    .samples = r->plan->batch,
                                    .cut = &r->cut,
                                    .round = (size_t)0 - BEFORE, // so that the batch's first sample is at BEFORE
                                    .state = r->model->weights};
}

// The gradient of an update from what its op's tasks may read, with all else poisoned. The dealt op's find in scratch what
// begin_tasks has left there.
static void check_update(struct run *r, const struct shk_stage *stage, const struct shk_update *u) {
    const struct shk_plan *p = r->plan;
    if (!u->of_batch) return;
    declare(r, u->op, SHK_READS_TASKS, 0, BEFORE, p->batch);
    copy(r, &r->before, &r->now);
    copy(r, &r->after, &r->now);
    poison(r, r->after.batch, 1, p->batch_floats);
    float *const scratch[] = {r->tasks, r->other_tasks}, *const space[] = {r->now.batch, r->after.batch};
    for (int i = 0; i < 2; i++) {
        const struct shk_whole_batch w = whole_batch_of(r, space[i]);
        memset(scratch[i], 0xff, SHK_TASK_SCRATCH * sizeof(float));
        if (stage->kind == SHK_TASKS) shk_plan_begin_tasks(&w, stage, scratch[i]);
        shk_plan_gradient(&w, u, scratch[i]);
    }
    size_t n = 0;
    if (u->bias) shk_update_bias(u, &n);
    const size_t floats = shk_update_pieces(u) * u->length;
    const float *a = r->tasks, *b = r->other_tasks;
    for (size_t i = 0; i < floats; i++) assert_false(isnan(a[i]));
    if (memcmp(a, b, floats * sizeof *a) != 0 ||
        memcmp(a + SHK_GRADIENT_FLOATS, b + SHK_GRADIENT_FLOATS, n * sizeof *a) != 0)
        fail_msg("%s: an update of %s reads what %s has not declared", r->subject->description, u->param->name,
                 u->op->name);
    assert_memory_equal(r->before.batch, r->now.batch, r->batch_bytes);
}

// Tasks of an op forward or back; they write what it has declared of that phase.
static void check_task(struct run *r, const struct shk_stage *stage, size_t task) {
    const struct shk_plan *p = r->plan;
    const struct shk_op *op = p->ops[stage->op];
    const bool forward = stage->phase == SHK_FORWARD;
    declare(r, op, SHK_READS_TASKS, SHK_WRITES_TASKS | (forward ? SHK_WRITES_FORWARD : SHK_WRITES_BACKWARD), BEFORE,
            p->batch);
    copy(r, &r->before, &r->now);
    copy(r, &r->after, &r->now);
    poison(r, r->after.batch, 1, p->batch_floats);
    float *const space[] = {r->now.batch, r->after.batch};
    for (int i = 0; i < 2; i++) {
        const struct shk_whole_batch w = whole_batch_of(r, space[i]);
        memset(r->tasks, 0xff, SHK_TASK_SCRATCH * sizeof(float));
        shk_plan_begin_tasks(&w, stage, r->tasks);
        shk_plan_task(&w, stage, task, r->tasks);
    }
    check_untouched(r, op, "in a task", 1, r->before.batch, r->now.batch, p->batch_floats);
    check_same(r, op, "in a task", 1, r->before.batch, r->now.batch, r->after.batch, p->batch_floats);
}

static void run_tasks(struct run *r, const struct shk_stage *s) {
    const size_t tasks = s->kind == SHK_TASKS ? shk_plan_tasks(r->plan, s) : 1;
    for (size_t t = 0; t < tasks; t++) {
        if (s->kind == SHK_TASKS) check_task(r, s, t);
        for (unsigned i = 0; i < s->updates; i++)
            check_update(r, s, &r->plan->updates[s->first_update + t * s->updates + i]);
    }
}

// ---- A step

// What updates read of the shards has been written.
static void check_written(const struct run *r, bool grouped) {
    const size_t floats = r->plan->shard_floats;
    for (size_t s = 0; s < r->shards; s += grouped ? GROUP : 1)
        for (size_t i = 0; i < floats; i++) assert_false(isnan(r->now.grads[s * floats + i]));
}

static void check_run(const struct subject *s, const struct shk_kernels *k, size_t batch, size_t shards, bool grouped) {
    struct run r;
    open_run(&r, s, k, batch, shards, true);
    for (unsigned i = 0; i < r.plan->stage_count; i++) {
        const struct shk_stage *stage = &r.plan->stages[i];
        if (stage->kind == SHK_SLICES)
            run_slices(&r, stage, grouped);
        else
            run_tasks(&r, stage);
        if (stage->backward < stage->backward_end && stage->backward == 0) check_written(&r, grouped);
    }
    for (size_t i = 0; i < batch; i++) assert_true(isfinite(r.now.loss[i]));
    close_run(&r);
}

static void check_evaluation(const struct subject *s, const struct shk_kernels *k) {
    struct run r;
    open_run(&r, s, k, 5, 1, false);
    const struct shk_stage forward = {.kind = SHK_SLICES, .forward_end = r.plan->op_count};
    run_slice(&r, &forward, (struct cut){0, 3, false}, true);
    run_slice(&r, &forward, (struct cut){3, 2, false}, true);
    close_run(&r);
}

static void test_declarations(void **state) {
    (void)state;
    const struct shk_kernels *k;
    for (size_t isa = 0; (k = shk_kernels_at(isa)); isa++) {
        for (size_t s = 0; s < SUBJECTS; s++) {
            check_evaluation(&subjects[s], k);
            check_run(&subjects[s], k, 5, 3, false);
            check_run(&subjects[s], k, 1, 1, true);
            check_run(&subjects[s], k, 17, 13, true);
            if (isa != 0) check_run(&subjects[s], k, 41, 24, false); // plain C is slow
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans), cmocka_unit_test(test_held),
                                       cmocka_unit_test(test_declarations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
