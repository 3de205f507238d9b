// SPDX-License-Identifier: MIT
// The end of a convolution in evaluation is taken, and its scale is made, here.
#include "nn/ops/norm_end.h"

#include <math.h>

int shk_take_norm(struct shk_lowering *f, int layer, struct shk_axis axis, size_t cols, struct shk_norm_end *end) {
    *end = (struct shk_norm_end){.scale = NULL};
    const int norm = f->plan->training ? -1 : shk_follower(f, layer, SHK_BATCH_NORM);
    if (norm < 0) return layer;
    const struct shk_layer *l = shk_layer_at(f, norm);
    end->eps = l->batch_norm.eps;
    end->scale = shk_lay_out_vector(f, l->params[0], axis, cols);
    end->shift = shk_lay_out_vector(f, l->params[1], axis, cols);
    for (int i = 0; i < 2; i++) end->running[i] = shk_lay_out_vector(f, l->running[i], axis, cols);
    shk_takes(f, norm);
    return norm;
}

void shk_running_scale(const struct shk_norm_end *end, const struct shk_slice *s, size_t cols, float *scale) {
    const float *variance = s->weights + end->running[1]->offset, *gamma = s->weights + end->scale->offset;
    for (size_t c = 0; c < cols; c++) scale[c] = gamma[c] * (float)(1 / sqrt((double)variance[c] + end->eps));
}

void shk_norm_end_of(const struct shk_norm_end *end, const struct shk_slice *s, size_t cols, float *scale,
                     struct shk_batch_norm *k) {
    shk_running_scale(end, s, cols, scale);
    k->mean = s->weights + end->running[0]->offset;
    k->scale = scale;
    k->shift = s->weights + end->shift->offset;
}
