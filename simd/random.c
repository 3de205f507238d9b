// SPDX-License-Identifier: MIT
// random_uniform and random_normal turn 64 words of a stream into 64 values at a time.
#include "kernel.h"
#include "vec16_math.h"
#include "vec16_philox.h"

// The middle of one of 2^23 equal parts of [0, 1): exact, never 0 or 1.
SHK_INLINE vf unit(vi word) { return vf_fma(vf_from_vi(vi_shr(word, 9)), vf_set1(0x1p-23f), vf_set1(0x1p-24f)); }

// Stores v as elements e .. e + 15 where they are below n.
SHK_INLINE void put(const struct shk_random_fill *f, size_t e, vf v) {
    if (e + 16 <= f->n)
        vf_storeu(f->out + e, v);
    else if (e < f->n)
        vf_store_n(f->out + e, v, f->n - e);
}

void SHK_KERNEL(random_uniform)(const struct shk_random_fill *f) {
    const vf lo = vf_set1(f->lo), range = vf_set1(f->hi - f->lo);
    for (size_t e = 0; e < f->n; e += 64) {
        vi words[4];
        shk_philox16(&f->stream, shk_philox_from((uint32_t)(e / 4)), 10, words);
        for (size_t j = 0; j < 4; j++) put(f, e + 16 * j, vf_fma(range, unit(words[j]), lo));
    }
}

void SHK_KERNEL(random_normal)(const struct shk_random_fill *f) {
    const vf mean = vf_set1(f->mean), deviation = vf_set1(f->deviation);
    for (size_t e = 0; e < f->n; e += 64) {
        vi words[4];
        shk_philox16(&f->stream, shk_philox_from((uint32_t)(e / 4)), 10, words);
        for (size_t j = 0; j < 4; j += 2) {
            vf radius = vf_sqrt(vf_mul(vf_set1(-2.0f), vf_log(unit(words[j])))), sine, cosine;
            vf_sincos2pi(unit(words[j + 1]), &sine, &cosine);
            put(f, e + 16 * j, vf_fma(deviation, vf_mul(radius, cosine), mean));
            put(f, e + 16 * j + 16, vf_fma(deviation, vf_mul(radius, sine), mean));
        }
    }
}
