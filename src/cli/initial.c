// SPDX-License-Identifier: MIT
// Starts models from a file's weights, and says what was taken over.
#include "cli/initial.h"

#include "base/text.h"
#include "cli/weights.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// "0.5,0.4,0.3"
static void put_channels(const float *values, size_t n, char *text, size_t size) {
    *text = 0;
    for (size_t c = 0; c < n; c++) {
        char number[SHK_TEXT];
        shk_real_text((double)values[c], number);
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", c ? "," : "", number);
    }
}

// Weights expect the pixels for which they were trained.
static void adopt(const struct shk_preprocessing *p, struct run_settings *s, char pixels[200]) {
    struct shk_data_settings *d = &s->values.data;
    if (!p->normalised) {
        snprintf(d->normalise, sizeof d->normalise, "none");
        snprintf(pixels, 200, "pixels are not normalised, as when these weights were trained");
        return;
    }
    size_t channels = 1;
    while (channels < SHK_MAX_CHANNELS && p->deviation[channels] > 0) channels++; // there are no others
    put_channels(p->mean, channels, d->mean, sizeof d->mean);
    put_channels(p->deviation, channels, d->deviation, sizeof d->deviation);
    snprintf(pixels, 200, "pixels are normalised by mean and deviation of the file, as its weights expect");
}

static void choose_pixels(const struct shk_weights *w, struct run_settings *s, char pixels[200]) {
    struct shk_preprocessing p = {0};
    struct shk_error error = {0};
    const bool known = shk_weights_preprocessing(w, &p, &error),
               typed = run_was_given(s, "normalise") || *s->values.data.mean;
    if (error.code != SHK_OK) cli_die_error(&error);
    if (shk_settings_draw(&s->values))
        snprintf(pixels, 200, "%s", p.normalised ? "squares are not normalised, but the weights expect it" : "");
    else if (typed)
        snprintf(pixels, 200, "pixels are normalised as the options say%s", known ? ", not as the file does" : "");
    else if (known)
        adopt(&p, s, pixels);
    else
        snprintf(pixels, 200, "the file does not say how pixels were normalised; here they are by the training set");
}

struct initial initial_open(struct run_settings *s, bool is_new) {
    struct shk_error error = {0};
    struct initial in = {0};
    if (!*s->values.init) return in;
    char *path = weights_best_path(s->values.init);
    in.weights = shk_weights_open(path, &error);
    free(path);
    if (!in.weights) cli_die_error(&error);
    if (is_new) choose_pixels(in.weights, s, in.pixels);
    return in;
}

void initial_free(struct initial *in) { shk_weights_free(in->weights); }

void initial_apply(struct initial *in, struct shk_model *m) {
    struct shk_error error = {0};
    if (!in->weights) return;
    const char *description = shk_weights_description(in->weights);
    if (!shk_model_start(m, in->weights, &in->started, &error)) cli_die_error(&error);
    in->other_model = description && strcmp(description, shk_model_description(m)) != 0;
}

void initial_print(const struct initial *in, const struct run_settings *s, const struct shk_model *m) {
    const struct shk_started *a = &in->started;
    if (!in->weights) return;
    cli_print("init: %s, weights %016" PRIx64, cli_shown(s->values.init).text, a->hash);
    if (in->other_model)
        cli_print(", of %s, whose tensors are those of this model", shk_weights_description(in->weights));
    if (a->new_head)
        cli_print("; %s is new, for %zu classes in place of %zu", a->new_head, shk_model_shape(m).classes, a->classes);
    cli_print("%s%s\n", *in->pixels ? "; " : "", in->pixels);
}
