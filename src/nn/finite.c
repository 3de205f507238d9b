// SPDX-License-Identifier: MIT
// Weights that are not finite, and models whose training went wrong.
#include "nn/model.h"

#include <string.h>

// By the exponents' bits, so that it runs in vectors: all ones is infinity or NaN.
bool shk_all_finite(const float *x, size_t n) {
    enum { BLOCK = 1024 };
    const uint32_t exponent = 0x7f800000;
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t end = n - start < BLOCK ? n : start + BLOCK;
        uint32_t bad = 0;
        for (size_t i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bad |= (bits & exponent) == exponent;
        }
        if (bad) return false;
    }
    return true;
}

const struct shk_param *shk_model_not_finite(const struct shk_model *m) {
    for (unsigned i = 0; i < m->param_count; i++)
        if (!shk_all_finite(m->weights + m->params[i].offset, m->params[i].length)) return &m->params[i];
    return NULL;
}

void shk_model_damage(struct shk_model *m, size_t epoch, size_t step) {
    m->damage.epoch = epoch;
    m->damage.step = step;
    for (unsigned i = 0; i < m->param_count; i++) m->params[i].damaged = true;
}

bool shk_model_usable(const struct shk_model *m, struct shk_error *err) {
    for (unsigned i = 0; i < m->param_count; i++)
        if (m->params[i].damaged)
            return shk_fail(
                err, SHK_FAILED,
                "the model's weights are of a training that went wrong in epoch %zu, step %zu: load others first",
                m->damage.epoch, m->damage.step);
    return true;
}

bool shk_model_trainable(const struct shk_model *m, struct shk_error *err) {
    if (!shk_model_usable(m, err)) return false;
    const struct shk_param *bad = shk_model_not_finite(m);
    return !bad ||
           shk_fail(err, SHK_BAD_INPUT, "%s holds a number that is not finite: set finite weights first", bad->name);
}
