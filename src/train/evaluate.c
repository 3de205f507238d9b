// SPDX-License-Identifier: MIT
// Evaluation and prediction: the forward pass of a model, and what is counted then.
#include "train/evaluate.h"

#include "base/fpenv.h"
#include "base/memory.h"
#include "train/settings.h"
#include "train/step.h"
#include <math.h>

// ---- Results ----

double shk_mean_loss(const float *loss, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)loss[i];
    return isnan(sum) ? (double)NAN : sum / (double)n;
}

struct shk_metrics shk_metrics_of(const struct shk_batch *b) {
    size_t right = 0;
    for (size_t i = 0; i < b->n; i++) right += b->predicted[i] == b->data->labels[i];
    return (struct shk_metrics){shk_mean_loss(b->loss, b->n), (double)right / (double)b->n};
}

bool shk_results_alloc(struct shk_batch *b, struct shk_error *err) {
    b->loss = shk_alloc(b->n, sizeof *b->loss, "losses", err);
    b->predicted = shk_alloc(b->n, sizeof *b->predicted, "predictions", err);
    return b->loss && b->predicted;
}

void shk_results_free(struct shk_batch *b) {
    shk_free(b->loss);
    shk_free(b->predicted);
}

// ---- A forward pass over a data set ----

struct evaluation {
    struct shk_engine engine;
    struct shk_batch batch;
};

static void evaluate_worker(void *arg, unsigned worker, unsigned workers) {
    struct evaluation *e = arg;
    fenv_t saved = shk_fpenv_enter();
    shk_forward(&e->engine, &e->batch, worker, workers);
    shk_fpenv_leave(&saved);
}

// Fills the batch: loss, predicted, and logits where they are wanted.
static bool evaluate(const struct shk_model *model, const struct shk_runtime *runtime, struct shk_batch *b,
                     struct shk_error *err) {
    if (!shk_shapes_agree(model, b->data, err) || !shk_model_usable(model, err)) return false;
    struct evaluation e = {.batch = *b};
    // A plan for evaluation only reads the model.
    bool ok = shk_engine_init(&e.engine, (struct shk_model *)model, runtime, SHK_EVALUATION_BATCH, 1, false, err) &&
              shk_results_alloc(&e.batch, err);
    if (ok) runtime->team.run(&runtime->team, evaluate_worker, &e);
    shk_engine_free(&e.engine);
    *b = e.batch;
    return ok;
}

bool shk_evaluate(const struct shk_model *model, const struct shk_runtime *runtime, const struct shk_dataset *data,
                  struct shk_metrics *out, struct shk_error *err) {
    struct shk_batch b = {.data = data, .n = data->n};
    const bool ok = evaluate(model, runtime, &b, err);
    if (ok) *out = shk_metrics_of(&b);
    shk_results_free(&b);
    return ok;
}

bool shk_predict(const struct shk_model *model, const struct shk_runtime *runtime, const struct shk_dataset *data,
                 float *logits, struct shk_error *err) {
    struct shk_batch b = {.data = data, .n = data->n, .logits = logits};
    const bool ok = evaluate(model, runtime, &b, err);
    shk_results_free(&b);
    return ok;
}

// ---- One sample at a time ----

struct shk_predictor {
    struct shk_runtime alone; // without a team
    struct shk_engine engine;
    struct shk_dataset data; // of one image, which is the caller's
};

static void run_alone(const struct shk_team *team, shk_worker work, void *arg) {
    (void)team;
    work(arg, 0, 1);
}

static const float *fetch_image(const struct shk_dataset *d, size_t sample, float *room) {
    (void)sample;
    (void)room;
    return d->images;
}

struct shk_predictor *shk_predictor_create(const struct shk_model *model, const struct shk_runtime *runtime,
                                           struct shk_error *err) {
    if (!shk_model_usable(model, err)) return NULL;
    struct shk_predictor *p = shk_alloc(1, sizeof *p, "a predictor", err);
    if (!p) return NULL;
    p->alone = (struct shk_runtime){.kernels = runtime->kernels, .team = {.workers = 1, .run = run_alone}};
    p->data = (struct shk_dataset){.n = 1, .shape = model->shape, .fetch = fetch_image};
    p->data.labels = shk_alloc(1, sizeof *p->data.labels, "a label", err);
    if (p->data.labels && shk_engine_init(&p->engine, (struct shk_model *)model, &p->alone, 1, 1, false, err)) return p;
    shk_predictor_free(p);
    return NULL;
}

void shk_predictor_free(struct shk_predictor *p) {
    if (!p) return;
    shk_engine_free(&p->engine);
    shk_free(p->data.labels);
    shk_free(p);
}

void shk_predictor_run(struct shk_predictor *p, const float *pixels, float *logits) {
    float loss;
    uint32_t predicted;
    p->data.images = (float *)pixels;
    const struct shk_batch b = {.data = &p->data, .n = 1, .loss = &loss, .predicted = &predicted, .logits = logits};
    fenv_t saved = shk_fpenv_enter();
    shk_forward(&p->engine, &b, 0, 1);
    shk_fpenv_leave(&saved);
}

// ---- Probabilities ----

// e^x of x <= 0 in double: 2^n e^r, |r| <= ln(2) / 2, e^r by its Taylor polynomial of degree 14, whose error is below 2^-53; the
// same on every machine, which libm's is not.
static double exponential(double x) {
    enum { DEGREE = 14, LEAST = -700 };
    const double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45, per_ln2 = 0x1.71547652b82fep0;
    if (!(x > LEAST)) return 0;
    const double n = floor(x * per_ln2 + 0.5), r = (x - n * ln2_high) - n * ln2_low;
    double sum = 1;
    for (int k = DEGREE; k > 0; k--) sum = 1 + sum * r / k;
    return ldexp(sum, (int)n); // exact
}

void shk_softmax(const float *logits, size_t classes, float *probabilities) {
    float most = logits[0];
    double sum = 0;
    for (size_t c = 1; c < classes; c++) most = logits[c] > most ? logits[c] : most;
    for (size_t c = 0; c < classes; c++) sum += exponential((double)logits[c] - (double)most);
    for (size_t c = 0; c < classes; c++)
        probabilities[c] = (float)(exponential((double)logits[c] - (double)most) / sum);
}

// ---- All that is known of a test ----

enum { MOST_CONFUSED = 2048 };

// How many classes come before the label: greater logits, and equal ones of lower numbers.
static size_t rank_of(const float *logits, size_t classes, size_t label) {
    size_t rank = 0;
    for (size_t c = 0; c < classes; c++) rank += c < label ? logits[c] >= logits[label] : logits[c] > logits[label];
    return rank;
}

static void count(struct shk_evaluation *e, const struct shk_batch *b) {
    size_t near = 0;
    for (size_t i = 0; i < b->n; i++) {
        const size_t label = b->data->labels[i], said = b->predicted[i];
        near += rank_of(b->logits + i * e->classes, e->classes, label) < e->k;
        e->of_class[label].samples++;
        e->of_class[said].predicted++;
        e->of_class[label].right += said == label;
        if (e->confusion) e->confusion[label * e->classes + said]++;
    }
    e->top_k = (double)near / (double)b->n;
}

static double share(size_t part, size_t whole) { return whole ? (double)part / (double)whole : (double)NAN; }

// F1 = 2 right / (samples + predicted), the harmonic mean of precision and recall. The mean is over classes with samples.
static void compare(struct shk_evaluation *e) {
    double precision = 0, recall = 0, f1 = 0;
    size_t there = 0;
    for (size_t c = 0; c < e->classes; c++) {
        struct shk_class_scores *s = &e->of_class[c];
        s->precision = share(s->right, s->predicted);
        s->recall = share(s->right, s->samples);
        s->f1 = s->samples ? share(2 * s->right, s->samples + s->predicted) : (double)NAN;
        if (!s->samples) continue;
        there++;
        precision += s->predicted ? s->precision : 0;
        recall += s->recall;
        f1 += s->f1;
    }
    e->macro_precision = precision / (double)there;
    e->macro_recall = recall / (double)there;
    e->macro_f1 = f1 / (double)there;
}

struct shk_evaluation *shk_evaluation_create(const struct shk_model *model, const struct shk_runtime *runtime,
                                             const struct shk_dataset *data, struct shk_error *err) {
    const size_t classes = model->shape.classes;
    struct shk_evaluation *e = shk_alloc(1, sizeof *e, "an evaluation", err);
    struct shk_batch b = {.data = data, .n = data->n};
    if (!e) return NULL;
    e->classes = classes;
    e->samples = data->n;
    e->k = classes < 5 ? classes : 5;
    e->of_class = shk_alloc(classes, sizeof *e->of_class, "scores of classes", err);
    if (classes <= MOST_CONFUSED) e->confusion = shk_alloc(classes * classes, sizeof *e->confusion, "confusions", err);
    b.logits = shk_alloc(data->n * classes, sizeof *b.logits, "logits", err);
    const bool room = e->of_class && (e->confusion || classes > MOST_CONFUSED) && b.logits;
    const bool ok = room && evaluate(model, runtime, &b, err);
    if (ok) {
        e->metrics = shk_metrics_of(&b);
        count(e, &b);
        compare(e);
    }
    shk_free(b.logits);
    shk_results_free(&b);
    if (ok) return e;
    shk_evaluation_free(e);
    return NULL;
}

void shk_evaluation_free(struct shk_evaluation *e) {
    if (!e) return;
    shk_free(e->of_class);
    shk_free(e->confusion);
    shk_free(e);
}
