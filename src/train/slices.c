// SPDX-License-Identifier: MIT
// A round's tasks are cut into slices here, and a slice's samples are fetched.
#include "train/slices.h"

// ---- Rounds

static void set_samples(struct shk_round *r) {
    r->first_block = r->index * r->schedule.open;
    r->first = shk_block_first(&r->cut, r->first_block);
    r->end = shk_block_first(&r->cut, r->first_block + r->schedule.open);
}

struct shk_round shk_round_first(const struct shk_engine *e, const struct shk_batch *b, unsigned workers) {
    struct shk_round r = {.batch = b, .cut = shk_cut_of(b->n, e->shards)};
    r.schedule = shk_schedule_of(&r.cut, e->plan->slice, workers, e->plan->whole, e->grad_buffers);
    set_samples(&r);
    return r;
}

bool shk_round_next(struct shk_round *r) {
    if (r->end == r->cut.n) return false;
    r->index++;
    set_samples(r);
    return true;
}

float *shk_round_grads(const struct shk_engine *e, const struct shk_round *r, size_t shard) {
    const struct shk_cut *c = &r->cut;
    const size_t index =
        r->schedule.grouped ? shk_group_of(c, shard) - r->first_block * c->groups : shard - r->first_block * c->shards;
    return e->grads + index * e->plan->shard_floats;
}

// ---- Slices

enum { FETCHED = 16384 }; // bytes of an image, more than which L2 should not be asked to keep

static size_t image_floats(const struct shk_engine *e) {
    const struct shk_shape *shape = &e->model->shape;
    return shape->height * shape->width * shape->channels;
}

// An image lies anywhere in memory: it is fetched one slice ahead, to L2.
static void prefetch_image(const struct shk_batch *b, size_t sample) {
    if (sample >= b->n) return;
    size_t bytes;
    const char *image = shk_dataset_stored(b->data, b->ids ? b->ids[sample] : sample, &bytes);
    for (size_t i = 0; i < bytes && i < FETCHED; i += 64) __builtin_prefetch(image + i, 0, 2);
}

// The samples of a slice, as its ops want them.
struct samples {
    const float *images[SHK_MAX_SLICE];
    uint32_t labels[SHK_MAX_SLICE], ids[SHK_MAX_SLICE];
};

// The first op is the one that reads images.
static void fetch_images(const struct shk_engine *e, const struct shk_batch *b, unsigned worker, size_t n,
                         struct samples *samples) {
    float *room = shk_engine_room(e, worker);
    for (size_t i = 0; i < n; i++)
        samples->images[i] = shk_dataset_fetch(b->data, samples->ids[i], room + i * image_floats(e));
}

static struct shk_slice slice_of(const struct shk_engine *e, const struct shk_batch *b, unsigned worker, size_t start,
                                 size_t n, struct samples *samples) {
    for (size_t i = 0; i < n; i++) {
        samples->ids[i] = b->ids ? b->ids[start + i] : (uint32_t)(start + i);
        samples->labels[i] = b->data->labels[samples->ids[i]];
    }
    const struct shk_plan *p = e->plan;
    float *workspace = shk_engine_workspace(e, worker);
    return (struct shk_slice){.plan = p,
                              .k = e->k,
                              .weights = e->model->weights,
                              .derived = e->model->derived,
                              .workspace = workspace,
                              .batch_space = e->batch_space,
                              .scratch = workspace + p->workspace_floats,
                              .samples = n,
                              .batch_samples = b->n,
                              .images = samples->images,
                              .labels = samples->labels,
                              .ids = samples->ids,
                              .loss = b->loss + start,
                              .predicted = b->predicted + start,
                              .logits = b->logits ? b->logits + start * e->model->shape.classes : NULL,
                              .seed = e->seed,
                              .epoch = b->epoch,
                              .times = e->times ? &e->times[worker] : NULL};
}

void shk_slice_forward(const struct shk_engine *e, const struct shk_batch *b, unsigned first, unsigned end,
                       unsigned worker, size_t start, size_t n) {
    struct samples samples;
    const struct shk_slice slice = slice_of(e, b, worker, start, n, &samples);
    if (first == 0) fetch_images(e, b, worker, n, &samples);
    shk_plan_forward(e->plan, &slice, first, end);
    if (first == 0) prefetch_image(b, start + n);
}

// The part of a shard that lies in samples start .. end - 1 of the batch.
static struct shk_segment segment_of(const struct shk_engine *e, const struct shk_round *r, unsigned worker,
                                     size_t shard, size_t start, size_t end) {
    const size_t shard_first = shk_shard_first(&r->cut, shard), shard_end = shk_shard_first(&r->cut, shard + 1);
    const size_t from = shard_first > start ? shard_first : start, to = shard_end < end ? shard_end : end;
    struct shk_segment g = {.start = from - start, .samples = to - from, .first = from == shard_first};
    g.sums = g.own = shk_round_grads(e, r, shard);
    g.append = r->schedule.grouped && shard != shk_group_first(&r->cut, shk_group_of(&r->cut, shard));
    if (g.append) g.own = e->grads + (e->grad_buffers + worker) * e->plan->shard_floats;
    return g;
}

// The shards of samples start .. end - 1.
static unsigned find_segments(const struct shk_engine *e, const struct shk_round *r, unsigned worker, size_t start,
                              size_t end, struct shk_segment *segments) {
    unsigned count = 0;
    for (size_t at = start; at < end; at += segments[count++].samples)
        segments[count] = segment_of(e, r, worker, shk_shard_of(&r->cut, at), start, end);
    return count;
}

static void run_slice(const struct shk_engine *e, const struct shk_round *r, const struct shk_stage *stage,
                      unsigned worker, size_t start, size_t end) {
    struct samples samples;
    struct shk_segment segments[SHK_MAX_SLICE];
    struct shk_slice slice = slice_of(e, r->batch, worker, start, end - start, &samples);
    const bool from_images = stage->forward == 0 && stage->forward_end > 0;
    slice.first = start - r->first;
    slice.block = shk_block_first(&r->cut, shk_shard_of(&r->cut, start) / r->cut.shards) - r->first;
    slice.segments = segments;
    if (stage->backward < stage->backward_end) slice.segment_count = find_segments(e, r, worker, start, end, segments);
    if (from_images) fetch_images(e, r->batch, worker, slice.samples, &samples);
    shk_plan_forward(e->plan, &slice, stage->forward, stage->forward_end);
    if (from_images) prefetch_image(r->batch, end);
    shk_plan_backward(e->plan, &slice, stage->backward, stage->backward_end);
}

// Most samples in a slice of a stage. Grouped, it holds whole shards.
static size_t slice_samples(const struct shk_round *r, const struct shk_stage *stage) {
    const size_t shards = r->cut.blocks * r->cut.shards, shard = (r->cut.n + shards - 1) / shards;
    return r->schedule.grouped && stage->slice < shard ? shard : stage->slice;
}

void shk_round_run(const struct shk_engine *e, const struct shk_round *r, const struct shk_stage *stage,
                   struct shk_share *shares, unsigned worker, unsigned workers) {
    const struct shk_schedule *s = &r->schedule;
    const size_t most = slice_samples(r, stage);
    for (size_t task; shk_take(shares, s->tasks, worker, workers, &task);) {
        const size_t end = shk_shard_first(&r->cut, shk_task_first(&r->cut, s, r->index, task + 1));
        for (size_t at = shk_shard_first(&r->cut, shk_task_first(&r->cut, s, r->index, task)), next; at < end;
             at = next) {
            next = shk_slice_end(&r->cut, s->grouped, most, at, end);
            run_slice(e, r, stage, worker, at, next);
        }
    }
}
