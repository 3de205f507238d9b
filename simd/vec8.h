// SPDX-License-Identifier: MIT
// vec8 is half a vec16: the lower eight lanes, for what has no more. Of the operations of vec16.h those that attention
// needs, with memory aligned to 32 bytes, and of both:
//   add_exponent(a, b): bits of a, plus those of b shifted up by 23
#ifndef SHK_SIMD_VEC8_H
#define SHK_SIMD_VEC8_H

#include "vec16.h"

SHK_INLINE vf vf_add_exponent(vf a, vf b) { return vi_as_vf(vi_add(vf_as_vi(a), vi_shl(vf_as_vi(b), 23))); }

#if defined(SHK_ISA_AVX2) || defined(SHK_ISA_AVX512)

typedef __m256 vh;

SHK_INLINE vh vh_load(const float *p) { return _mm256_load_ps(p); }
SHK_INLINE void vh_store(float *p, vh a) { _mm256_store_ps(p, a); }
SHK_INLINE vh vh_zero(void) { return _mm256_setzero_ps(); }
SHK_INLINE vh vh_set1(float f) { return _mm256_set1_ps(f); }
SHK_INLINE vh vh_add(vh a, vh b) { return _mm256_add_ps(a, b); }
SHK_INLINE vh vh_sub(vh a, vh b) { return _mm256_sub_ps(a, b); }
SHK_INLINE vh vh_mul(vh a, vh b) { return _mm256_mul_ps(a, b); }
SHK_INLINE vh vh_div(vh a, vh b) { return _mm256_div_ps(a, b); }
SHK_INLINE vh vh_fma(vh a, vh b, vh c) { return _mm256_fmadd_ps(a, b, c); }
SHK_INLINE vh vh_fnma(vh a, vh b, vh c) { return _mm256_fnmadd_ps(a, b, c); }
SHK_INLINE vh vh_abs(vh a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
SHK_INLINE vh vh_max(vh a, vh b) { return _mm256_max_ps(a, b); }
SHK_INLINE vh vh_add_exponent(vh a, vh b) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 23)));
}

#elif defined(SHK_ISA_NEON)

typedef struct {
    float32x4_t q[2];
} vh;

#define SHK_HALVES(expression)                                                                                         \
    vh r;                                                                                                              \
    for (int i = 0; i < 2; i++) r.q[i] = expression;                                                                   \
    return r

SHK_INLINE vh vh_load(const float *p) { SHK_HALVES(vld1q_f32(p + 4 * i)); }
SHK_INLINE void vh_store(float *p, vh a) {
    for (int i = 0; i < 2; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
SHK_INLINE vh vh_set1(float f) { SHK_HALVES(vdupq_n_f32(f)); }
SHK_INLINE vh vh_zero(void) { return vh_set1(0.0f); }
SHK_INLINE vh vh_add(vh a, vh b) { SHK_HALVES(vaddq_f32(a.q[i], b.q[i])); }
SHK_INLINE vh vh_sub(vh a, vh b) { SHK_HALVES(vsubq_f32(a.q[i], b.q[i])); }
SHK_INLINE vh vh_mul(vh a, vh b) { SHK_HALVES(vmulq_f32(a.q[i], b.q[i])); }
SHK_INLINE vh vh_div(vh a, vh b) { SHK_HALVES(vdivq_f32(a.q[i], b.q[i])); }
SHK_INLINE vh vh_fma(vh a, vh b, vh c) { SHK_HALVES(vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
SHK_INLINE vh vh_fnma(vh a, vh b, vh c) { SHK_HALVES(vfmsq_f32(c.q[i], a.q[i], b.q[i])); }
SHK_INLINE vh vh_abs(vh a) { SHK_HALVES(vabsq_f32(a.q[i])); }
SHK_INLINE vh vh_max(vh a, vh b) { SHK_HALVES(vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
SHK_INLINE vh vh_add_exponent(vh a, vh b) {
    SHK_HALVES(vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(a.q[i]), vshlq_n_u32(vreinterpretq_u32_f32(b.q[i]), 23))));
}
#undef SHK_HALVES

#else

typedef struct {
    float x[8];
} vh;

#define SHK_HALVES(expression)                                                                                         \
    vh r;                                                                                                              \
    for (int i = 0; i < 8; i++) r.x[i] = expression;                                                                   \
    return r

SHK_INLINE vh vh_load(const float *p) { SHK_HALVES(p[i]); }
SHK_INLINE void vh_store(float *p, vh a) { memcpy(p, &a, sizeof a); }
SHK_INLINE vh vh_set1(float f) { SHK_HALVES(f); }
SHK_INLINE vh vh_zero(void) { return vh_set1(0.0f); }
SHK_INLINE vh vh_add(vh a, vh b) { SHK_HALVES(a.x[i] + b.x[i]); }
SHK_INLINE vh vh_sub(vh a, vh b) { SHK_HALVES(a.x[i] - b.x[i]); }
SHK_INLINE vh vh_mul(vh a, vh b) { SHK_HALVES(a.x[i] * b.x[i]); }
SHK_INLINE vh vh_div(vh a, vh b) { SHK_HALVES(a.x[i] / b.x[i]); }
SHK_INLINE vh vh_fma(vh a, vh b, vh c) { SHK_HALVES(__builtin_fmaf(a.x[i], b.x[i], c.x[i])); }
SHK_INLINE vh vh_fnma(vh a, vh b, vh c) { SHK_HALVES(__builtin_fmaf(-a.x[i], b.x[i], c.x[i])); }
SHK_INLINE vh vh_abs(vh a) { SHK_HALVES(__builtin_fabsf(a.x[i])); }
SHK_INLINE vh vh_max(vh a, vh b) { SHK_HALVES(a.x[i] > b.x[i] ? a.x[i] : b.x[i]); }
SHK_INLINE vh vh_add_exponent(vh a, vh b) {
    uint32_t u[8], by[8];
    memcpy(u, &a, sizeof u);
    memcpy(by, &b, sizeof by);
    for (int i = 0; i < 8; i++) u[i] += by[i] << 23;
    memcpy(&a, u, sizeof u);
    return a;
}
#undef SHK_HALVES

#endif

#define VEC vf
#define V(op) SHK_CAT(vf, op)
#include "vec_exp2.h"
#undef VEC
#undef V

#define VEC vh
#define V(op) SHK_CAT(vh, op)
#include "vec_exp2.h"
#undef VEC
#undef V

#endif
