// SPDX-License-Identifier: MIT
// Judges comparisons by signed ranks, the size of the effect, and the noise of A/A pairs.
#include "report/comparison.h"

#include <math.h>
#include <stdlib.h>

static const double confidence = 0.95, level = 0.05, sure = 0.01;

const char *verdict_name(enum verdict v) {
    static const char *const names[] = {"not slower", "slower", "too noisy to tell"};
    return names[v];
}

// How far A/A lies from 0: its middle, with what is not known of that.
static double noise_of(const struct shift *same) { return fmax(fabs(same->low), fabs(same->high)); }

bool comparison_of_pairs(struct comparison *c) {
    if (!statistics_of_pairs(c->change, c->rounds, confidence, &c->shift) ||
        !statistics_of_pairs(c->same, c->rounds, confidence, &c->of_same))
        return false;
    c->noise = noise_of(&c->of_same);
    return true;
}

bool comparison_of_samples(const double *base, size_t base_count, const double *new, size_t new_count,
                           struct comparison *out) {
    double a[STATISTICS_MOST], b[STATISTICS_MOST];
    for (size_t i = 0; i < base_count; i++) a[i] = log(base[i]);
    for (size_t i = 0; i < new_count; i++) b[i] = log(new[i]);
    *out = (struct comparison){.rounds = base_count < new_count ? base_count : new_count};
    return statistics_of_samples(a, base_count, b, new_count, confidence, &out->shift);
}

static void decide(struct comparison *c, double most) {
    const struct shift *s = &c->shift;
    c->verdict = VERDICT_TOO_NOISY;
    c->clear = false;
    if (!isfinite(s->low)) return; // too few values
    if (s->estimate > most && s->estimate > c->noise && c->probability < level) {
        c->verdict = VERDICT_SLOWER;
        c->clear = s->low > most && s->low > c->noise && c->probability < sure;
    } else if (s->high < most) {
        c->verdict = VERDICT_NOT_SLOWER;
        c->clear = s->high < most / 2 || s->high + (s->high - s->estimate) < most;
    }
}

bool comparisons_judge(struct comparison *all, size_t count, double threshold) {
    double *p = calloc(count + 1, sizeof *p);
    if (!p) return false;
    for (size_t i = 0; i < count; i++) p[i] = all[i].shift.above;
    statistics_holm(p, count);
    for (size_t i = 0; i < count; i++) {
        all[i].probability = p[i];
        decide(&all[i], log1p(threshold));
    }
    free(p);
    return true;
}
