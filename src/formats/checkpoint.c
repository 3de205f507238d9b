// SPDX-License-Identifier: MIT
// A checkpoint: a model's file with the optimizer's state, the epoch's losses so far, and the trainer's settings and
// position beside it.
#include "formats/checkpoint.h"

#include "base/folder.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/model_file.h"
#include "settings/settings.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char exp_avg[] = "optimizer.exp_avg.", exp_avg_sq[] = "optimizer.exp_avg_sq.", losses[] = "epoch.losses";
static const char data_hash[] = "epoch.data"; // in 16 hexadecimal digits
enum { MAX_SAMPLES = 10000000 };              // of a data set

// ---- What a trainer must have in common with the one that was saved: each of them as text ----

// The trainer's options, with the shards that fix the bits.
static struct shk_run_settings settings_of(const struct shk_trainer *t) {
    struct shk_run_settings settings = {.train = t->options};
    settings.train.shards = shk_trainer_shards(t);
    return settings;
}

static bool is_same(const struct shk_st *f, const char *key, const char *saved, const char *own,
                    struct shk_error *err) {
    if (!strcmp(saved, own)) return true;
    return shk_st_fail(f->path, err, "was made with %s %.120s, but this trainer has %.120s", key,
                       *saved ? saved : "none", *own ? own : "none");
}

static bool must_be(const struct shk_st *f, const char *key, const char *own, struct shk_error *err) {
    const char *saved = shk_need_text(f, key, err);
    return saved && is_same(f, key, saved, own, err);
}

static bool must_be_whole(const struct shk_st *f, const char *key, uint64_t own, struct shk_error *err) {
    char text[SHK_TEXT];
    shk_whole_text(own, text);
    return must_be(f, key, text, err);
}

static bool same_model(const struct shk_model *m, const struct shk_st *f, struct shk_error *err) {
    return must_be(f, "model", m->config.description, err) && must_be_whole(f, "height", m->shape.height, err) &&
           must_be_whole(f, "width", m->shape.width, err) && must_be_whole(f, "channels", m->shape.channels, err) &&
           must_be_whole(f, "classes", m->shape.classes, err) &&
           must_be_whole(f, "numerics", SHK_NUMERICS_VERSION, err);
}

// A setting that the file does not name is younger than the file and had its default.
static bool same_settings(const struct shk_trainer *t, const struct shk_st *f, struct shk_error *err) {
    const struct shk_run_settings mine = settings_of(t), defaults = shk_settings_defaults();
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        char own[SHK_SETTING_TEXT], standard[SHK_SETTING_TEXT];
        if (!shk_setting_trains(s)) continue;
        shk_setting_print(s, &mine, own);
        shk_setting_print(s, &defaults, standard);
        const char *saved = shk_st_text(f, s->name);
        if (!is_same(f, s->name, saved ? saved : standard, own, err)) return false;
    }
    return true;
}

// ---- Where the training is ----

// Everything that is no tensor; the same in file and trainer.
struct progress {
    uint64_t epoch, step, samples, optimizer_steps, best_epoch, data_hash;
    double seconds, best_loss, best_accuracy;
};
static const struct {
    const char *key;
    size_t offset;
    uint64_t most;
} wholes[] = {
    {"position.epoch", offsetof(struct progress, epoch), UINT32_MAX},
    {"position.step", offsetof(struct progress, step), MAX_SAMPLES},
    {"samples", offsetof(struct progress, samples), MAX_SAMPLES},
    {"optimizer.steps", offsetof(struct progress, optimizer_steps), (uint64_t)UINT32_MAX *MAX_SAMPLES},
    {"best.epoch", offsetof(struct progress, best_epoch), UINT32_MAX},
};
static const struct {
    const char *key;
    size_t offset;
} reals[] = {
    {"epoch.seconds", offsetof(struct progress, seconds)},
    {"best.loss", offsetof(struct progress, best_loss)},
    {"best.accuracy", offsetof(struct progress, best_accuracy)},
};
enum { WHOLES = sizeof wholes / sizeof *wholes, REALS = sizeof reals / sizeof *reals };

static uint64_t *whole_of(struct progress *p, unsigned i) { return (uint64_t *)(void *)((char *)p + wholes[i].offset); }

static double *real_of(struct progress *p, unsigned i) { return (double *)(void *)((char *)p + reals[i].offset); }

static struct progress progress_of(const struct shk_trainer *t) {
    return (struct progress){.epoch = t->position.epoch,
                             .step = t->position.step,
                             .samples = t->samples,
                             .optimizer_steps = t->train.steps,
                             .best_epoch = t->best.epoch,
                             .data_hash = t->data_hash,
                             .seconds = t->seconds,
                             .best_loss = t->best.test.loss,
                             .best_accuracy = t->best.test.accuracy};
}

// Losses that are known after so many steps of an epoch.
static size_t losses_of(const struct shk_trainer *t, const struct progress *p) {
    uint64_t n = p->step * t->options.batch;
    return (size_t)(n < p->samples ? n : p->samples);
}

static bool check_progress(const struct shk_trainer *t, const struct shk_st *f, const struct progress *p,
                           struct shk_error *err) {
    uint64_t batch = t->options.batch, steps = (p->samples + batch - 1) / batch;
    if (p->step > steps)
        return shk_st_fail(f->path, err, "is at step %llu of an epoch, but %llu samples are %llu steps",
                           (unsigned long long)p->step, (unsigned long long)p->samples, (unsigned long long)steps);
    if (p->samples == 0 && p->epoch > 0)
        return shk_st_fail(f->path, err, "has %llu epochs of no samples", (unsigned long long)p->epoch);
    // Fewer are possible: the optimizer begins anew where a training went wrong and went on.
    if (p->optimizer_steps > p->epoch * MAX_SAMPLES + p->step)
        return shk_st_fail(f->path, err, "has taken %llu steps, but is only at epoch %llu, step %llu",
                           (unsigned long long)p->optimizer_steps, (unsigned long long)p->epoch,
                           (unsigned long long)p->step);
    if (p->best_epoch > p->epoch)
        return shk_st_fail(f->path, err, "has its best epoch, %llu, after the last one, %llu",
                           (unsigned long long)p->best_epoch, (unsigned long long)p->epoch);
    if (!(p->best_accuracy >= 0 && p->best_accuracy <= 1) || p->best_loss < 0 ||
        !(p->seconds >= 0 && isfinite(p->seconds)))
        return shk_st_fail(f->path, err, "has best.loss %g, best.accuracy %g or epoch.seconds %g, which cannot be",
                           p->best_loss, p->best_accuracy, p->seconds);
    return true;
}

// 0 where there is none: between two epochs, and in files that are older than the key.
static bool read_data_hash(const struct shk_st *f, uint64_t *out, struct shk_error *err) {
    const char *text = shk_st_text(f, data_hash);
    *out = 0;
    if (!text) return true;
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return shk_st_fail(f->path, err, "has %s '%.40s', but that must be 16 hexadecimal digits", data_hash, text);
    *out = strtoull(text, NULL, 16);
    return true;
}

static bool read_progress(const struct shk_trainer *t, const struct shk_st *f, struct progress *p,
                          struct shk_error *err) {
    for (unsigned i = 0; i < WHOLES; i++)
        if (!shk_need_whole(f, wholes[i].key, wholes[i].most, whole_of(p, i), err)) return false;
    for (unsigned i = 0; i < REALS; i++)
        if (!shk_need_real(f, reals[i].key, real_of(p, i), err)) return false;
    return read_data_hash(f, &p->data_hash, err) && check_progress(t, f, p, err);
}

// ---- Saving ----

static void describe(struct shk_st_out *o, const struct shk_trainer *t, struct progress *p) {
    const struct shk_run_settings settings = settings_of(t);
    char text[SHK_SETTING_TEXT];
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        if (!shk_setting_trains(s)) continue;
        shk_setting_print(s, &settings, text);
        if (*text) shk_st_add_text(o, s->name, text);
    }
    for (unsigned i = 0; i < WHOLES; i++) {
        shk_whole_text(*whole_of(p, i), text);
        shk_st_add_text(o, wholes[i].key, text);
    }
    for (unsigned i = 0; i < REALS; i++) {
        shk_real_text(*real_of(p, i), text);
        shk_st_add_text(o, reals[i].key, text);
    }
    if (!p->step || !p->data_hash) return;
    snprintf(text, sizeof text, "%016" PRIx64, p->data_hash);
    shk_st_add_text(o, data_hash, text);
}

static bool save(const struct shk_trainer *t, const struct shk_folder *folder, const char *path,
                 const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    const struct shk_model *m = t->model;
    struct progress p = progress_of(t);
    size_t n = losses_of(t, &p);
    struct shk_st_out o;
    if (!shk_model_usable(m, err) || !shk_model_describe_in(&o, m, "checkpoint", notes, note_count, err)) return false;
    describe(&o, t, &p);
    shk_add_params(&o, m, "");
    shk_add_params(&o, m, exp_avg);
    shk_add_params(&o, m, exp_avg_sq);
    if (n) shk_st_add_tensor(&o, losses, 1, &n);
    if (shk_st_out_begin(&o, folder, path, err) && shk_put_params(&o, m, "", m->weights, path, err) &&
        shk_put_params(&o, m, exp_avg, t->train.m, path, err) &&
        shk_put_params(&o, m, exp_avg_sq, t->train.v, path, err) && shk_put_values(&o, losses, t->losses, n, path, err))
        return shk_st_out_finish(&o, err);
    shk_st_out_abandon(&o);
    return false;
}

static bool save_best(const struct shk_trainer *t, const struct shk_folder *folder, const char *path,
                      const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    if (t->best_weights) return shk_model_save_weights(t->model, t->best_weights, folder, path, notes, note_count, err);
    return shk_fail(err, SHK_BAD_INPUT,
                    "%s is not written: no epoch was better than those before; train with a test set first",
                    shk_shown_path(path, shown));
}

bool shk_trainer_save(const struct shk_trainer *t, const char *path, const struct shk_note *notes, size_t note_count,
                      struct shk_error *err) {
    return save(t, NULL, path, notes, note_count, err);
}

bool shk_trainer_save_best(const struct shk_trainer *t, const char *path, const struct shk_note *notes,
                           size_t note_count, struct shk_error *err) {
    return save_best(t, NULL, path, notes, note_count, err);
}

bool shk_trainer_save_in(const struct shk_trainer *t, const struct shk_folder *folder, const char *name,
                         const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    char *path = shk_folder_path(folder, name, err);
    const bool ok = path && save(t, folder, path, notes, note_count, err);
    shk_free(path);
    return ok;
}

bool shk_trainer_save_best_in(const struct shk_trainer *t, const struct shk_folder *folder, const char *name,
                              const struct shk_note *notes, size_t note_count, struct shk_error *err) {
    char *path = shk_folder_path(folder, name, err);
    const bool ok = path && save_best(t, folder, path, notes, note_count, err);
    shk_free(path);
    return ok;
}

// ---- Loading: all is read and checked before anything changes ----

struct checkpoint {
    struct progress progress;
    const float *weights[SHK_MAX_PARAMS], *m[SHK_MAX_PARAMS], *v[SHK_MAX_PARAMS];
    const struct shk_st_tensor *losses; // NULL: none
};

static bool read_losses(const struct shk_trainer *t, struct shk_st *f, struct checkpoint *c, struct shk_error *err) {
    size_t n = losses_of(t, &c->progress);
    if (n == 0) return true;
    c->losses = shk_st_take(f, losses, 1, &n, err);
    return c->losses && shk_check_values(f, c->losses, false, err);
}

static bool read_checkpoint(const struct shk_trainer *t, struct shk_st *f, struct checkpoint *c,
                            struct shk_error *err) {
    if (!shk_check_kind(f, "checkpoint", err) || !same_model(t->model, f, err) || !same_settings(t, f, err) ||
        !read_progress(t, f, &c->progress, err) || !shk_take_params(f, t->model, "", false, c->weights, err) ||
        !shk_take_params(f, t->model, exp_avg, false, c->m, err) ||
        !shk_take_params(f, t->model, exp_avg_sq, true, c->v, err) || !read_losses(t, f, c, err))
        return false;
    const char *unknown = shk_st_not_taken(f);
    return !unknown || shk_st_fail(f->path, err, "has the tensor '%.100s', which does not belong there", unknown);
}

static bool restore(struct shk_trainer *t, const struct checkpoint *c, struct shk_error *err) {
    const struct progress *p = &c->progress;
    struct shk_model *m = t->model;
    // Where the last epoch was the best one, its weights are known.
    const bool is_best = p->best_epoch && p->best_epoch == p->epoch && p->step == 0;
    float *best = is_best ? shk_alloc(m->weight_floats, sizeof *best, "the best weights", err) : NULL;
    if ((is_best && !best) || (p->samples && !shk_trainer_set_samples(t, (size_t)p->samples, err))) {
        shk_free(best);
        return false;
    }
    if (!p->samples) {
        shk_free(t->losses);
        t->losses = NULL;
        t->samples = 0;
    }
    if (c->losses) memcpy(t->losses, c->losses->values, c->losses->size * sizeof(float));
    for (unsigned i = 0; i < m->param_count; i++) {
        shk_model_set_tensor(m, i, c->weights[i]);
        if (m->params[i].running) continue;
        shk_param_scatter(&m->params[i], 0, m->params[i].size, c->m[i], t->train.m);
        shk_param_scatter(&m->params[i], 0, m->params[i].size, c->v[i], t->train.v);
    }
    t->train.steps = (size_t)p->optimizer_steps;
    t->position = (struct shk_position){(size_t)p->epoch, (size_t)p->step};
    t->data_hash = p->data_hash;
    t->seconds = p->seconds;
    t->best = (struct shk_best){(size_t)p->best_epoch, {p->best_loss, p->best_accuracy}};
    shk_free(t->best_weights);
    t->best_weights = best;
    if (best) memcpy(best, m->weights, m->weight_floats * sizeof *best);
    return true;
}

bool shk_trainer_from_bytes(struct shk_trainer *t, const char *path, const struct shk_bytes *bytes,
                            struct shk_error *err) {
    struct shk_st f;
    if (!shk_st_parse(path, bytes->data, bytes->size, &f, err)) return false;
    struct checkpoint c = {0};
    bool ok = read_checkpoint(t, &f, &c, err) && restore(t, &c, err);
    shk_st_free(&f);
    return ok;
}

bool shk_trainer_load(struct shk_trainer *t, const char *path, struct shk_error *err) {
    struct shk_bytes bytes;
    if (!shk_file_read(path, shk_st_check_begin, &bytes, err)) return false;
    bool ok = shk_trainer_from_bytes(t, path, &bytes, err);
    shk_free(bytes.data);
    return ok;
}
