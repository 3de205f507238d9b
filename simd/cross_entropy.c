// SPDX-License-Identifier: MIT
// cross_entropy goes through groups of rows, whose logarithms are taken at once.
#include "columns.h"
#include "vec16_math.h"

// The logits of columns i .. i+15, minus infinity beyond the last class.
static inline vf cross_entropy_logits(const float *z, struct columns c, size_t i) {
    return i < c.full ? vf_load(z + i) : vf_select(c.tail, vf_load(z + i), vf_set1(-__builtin_inff()));
}

// The sum of e, with e left in `dlogits` unless NULL; sets the row's maximum and its first column.
static inline float cross_entropy_exponentials(const float *z, float *dlogits, size_t classes, struct columns c,
                                               float *max, uint32_t *predicted) {
    vf highest = cross_entropy_logits(z, c, 0);
    for (size_t i = 16; i < classes; i += 16) highest = vf_max(cross_entropy_logits(z, c, i), highest);
    *max = vf_hmax(highest);
    const vf m = vf_set1(*max);
    *predicted = 0; // if all are NaN
    for (size_t i = 0; i < classes; i += 16) {
        const uint32_t bits = vm_bits(vf_eq(cross_entropy_logits(z, c, i), m));
        if (bits) {
            *predicted = (uint32_t)i + (uint32_t)__builtin_ctz(bits);
            break;
        }
    }
    vf sum = vf_zero();
    for (size_t i = 0; i < classes; i += 16) {
        vf e;
        if (i < c.full)
            e = vf_exp(vf_sub(vf_load(z + i), m));
        else // 0 for the exponential beyond the last class: minus infinity would take the slow way of denormals
            e = vf_keep(c.tail, vf_exp(vf_keep(c.tail, vf_sub(vf_load(z + i), m))));
        if (dlogits) vf_store(dlogits + i, e);
        sum = vf_add(sum, e);
    }
    return vf_sum(sum);
}

void SHK_KERNEL(cross_entropy)(const struct shk_cross_entropy *args) {
    const struct columns c = columns_of(args->classes);
    const vf scale = vf_set1(args->scale), one = vf_set1(1.0f);
    _Alignas(64) float sums[GROUP], target[GROUP];
    for (size_t row = 0; row < args->rows; row += GROUP) {
        const size_t count = args->rows - row < GROUP ? args->rows - row : GROUP;
        vf_store(sums, one);
        for (size_t r = 0; r < count; r++) {
            const float *z = args->logits + (ptrdiff_t)(row + r) * args->row;
            float *dlogits = args->dlogits ? args->dlogits + (ptrdiff_t)(row + r) * args->row : NULL;
            const uint32_t label = args->labels[row + r];
            const float at_label = z[label]; // before dlogits, which may be logits
            float max;
            sums[r] = cross_entropy_exponentials(z, dlogits, args->classes, c, &max, &args->predicted[row + r]);
            target[r] = at_label - max;
            if (!dlogits) continue;
            const vf sum = vf_set1(sums[r]);
            for (size_t i = 0; i < args->classes; i += 16) {
                const vm hit = vi_eq(vi_add(vi_iota(), vi_set1((uint32_t)i)), vi_set1(label));
                const vf p = vf_div(vf_load(dlogits + i), sum);
                const vf d = vf_mul(vf_sub(p, vf_keep(hit, one)), scale);
                vf_store(dlogits + i, i == c.full ? vf_keep(c.tail, d) : d);
            }
        }
        vf_store(sums, vf_log(vf_load(sums)));
        for (size_t r = 0; r < count; r++) args->loss[row + r] = sums[r] - target[r];
    }
}
