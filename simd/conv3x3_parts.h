// SPDX-License-Identifier: MIT
// These parts are what forward and backward of the 3x3 convolution share: winners of the pool as bytes, and "pv", the
// part of a vec16 that the gradient kernels keep nine or sixteen accumulators of in registers.
#ifndef SHK_SIMD_CONV3X3_PARTS_H
#define SHK_SIMD_CONV3X3_PARTS_H

#include "kernel.h"

#include <math.h>
#include <string.h>

// conv3x3_forward of maps.
void SHK_KERNEL(conv3x3_winograd)(const struct shk_conv3x3 *);

#define CONV_DEAD 4u // the winner of a window whose maximum is not positive

// Sixteen winners <-> 32-bit lanes (AVX-512 and AVX2 make them in narrower ones, below).
#if defined(SHK_ISA_AVX512)
SHK_INLINE vi winners_load(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)p)); }
#elif defined(SHK_ISA_AVX2)
SHK_INLINE vi winners_load(const uint8_t *p) {
    return (vi){_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))};
}
SHK_INLINE __m256i shk_narrow(vm m) { return _mm256_packs_epi32(_mm256_castps_si256(m.lo), _mm256_castps_si256(m.hi)); }
#else
SHK_INLINE vi winners_load(const uint8_t *p) {
    uint32_t t[16];
    for (int i = 0; i < 16; i++) t[i] = p[i];
    return vi_loadu(t);
}
SHK_INLINE void winners_store(uint8_t *p, vi a) {
    uint32_t t[16];
    vi_storeu(t, a);
    for (int i = 0; i < 16; i++) p[i] = (uint8_t)t[i];
}
#endif

// The winner of each window: 0 or 1, or if `lower` 2 or 3; CONV_DEAD where not alive.
SHK_INLINE void winners_choose(vm second, vm fourth, vm lower, vm alive, uint8_t *winners) {
#ifdef SHK_ISA_AVX512
    const __m128i upper_at = _mm_maskz_set1_epi8(second, 1);
    const __m128i lower_at = _mm_mask_blend_epi8(fourth, _mm_set1_epi8(2), _mm_set1_epi8(3));
    const __m128i at = _mm_mask_blend_epi8(lower, upper_at, lower_at);
    _mm_store_si128((__m128i *)winners, _mm_mask_blend_epi8(alive, _mm_set1_epi8(CONV_DEAD), at));
#elif defined(SHK_ISA_AVX2)
    // 16-bit lanes, of which 0..3 and 8..11 are those of lo
    const __m256i lower_half = shk_narrow(lower),
                  upper_at = _mm256_sub_epi16(_mm256_setzero_si256(), shk_narrow(second));
    const __m256i lower_at = _mm256_sub_epi16(_mm256_set1_epi16(2), shk_narrow(fourth));
    const __m256i at = _mm256_blendv_epi8(_mm256_set1_epi16(CONV_DEAD),
                                          _mm256_blendv_epi8(upper_at, lower_at, lower_half), shk_narrow(alive));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(at), _mm256_extracti128_si256(at, 1));
    _mm_store_si128((__m128i *)winners, _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0)));
#else
    const vi upper_at = vi_select(second, vi_set1(1), vi_set1(0)), lower_at = vi_select(fourth, vi_set1(3), vi_set1(2));
    winners_store(winners, vi_select(alive, vi_select(lower, lower_at, upper_at), vi_set1(CONV_DEAD)));
#endif
}

// z: the window's four positions. A NaN among them, if there may be one, makes the maximum NaN.
SHK_INLINE void pool(const vf *z, const bool may_be_nan, float *out, uint8_t *winners) {
    const vf zero = vf_zero();
    const vm second = vf_gt(z[1], z[0]), fourth = vf_gt(z[3], z[2]);
    const vf top = vf_max(z[1], z[0]), bottom = vf_max(z[3], z[2]);
    const vm lower = vf_gt(bottom, top);
    const vf best = vf_max(bottom, top);
    vf relu = vf_max(best, zero);
    vm alive = vf_gt(best, zero);
    if (may_be_nan) {
        const vm ordered = vm_and(vf_ordered(z[0], z[1]), vf_ordered(z[2], z[3]));
        relu = vf_select(ordered, relu, vf_set1(NAN));
        alive = vm_and(ordered, alive);
    }
    vf_store(out, relu);
    if (winners) winners_choose(second, fourth, lower, alive, winners);
}

// Bit i of masks[a]: winners[i] == a, for each position a and n = 16 or 32 channels.
#if defined(SHK_ISA_AVX512)
SHK_INLINE void winners_masks(const uint8_t *winners, size_t n, uint64_t *masks) {
    const __mmask32 first = ~(__mmask32)0 >> (32 - n);
    const __m256i x = _mm256_maskz_loadu_epi8(first, winners);
    for (int a = 0; a < 4; a++) masks[a] = _mm256_mask_cmpeq_epi8_mask(first, x, _mm256_set1_epi8((char)a));
}
#elif defined(SHK_ISA_AVX2)
SHK_INLINE void winners_masks(const uint8_t *winners, size_t n, uint64_t *masks) {
    const __m128i low = _mm_load_si128((const __m128i *)winners), none = _mm_set1_epi8((char)CONV_DEAD);
    const __m128i high = n > 16 ? _mm_load_si128((const __m128i *)(winners + 16)) : none;
    const __m256i x = _mm256_set_m128i(high, low);
    for (int a = 0; a < 4; a++)
        masks[a] = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8((char)a)));
}
#else
SHK_INLINE void winners_masks(const uint8_t *winners, size_t n, uint64_t *masks) {
    for (int a = 0; a < 4; a++) {
        masks[a] = 0;
        for (size_t i = 0; i < n; i++) masks[a] |= (uint64_t)(winners[i] == a) << i;
    }
}
#endif

// The lowest bit of m != 0 (tzcnt: the x86 builds have BMI).
SHK_INLINE size_t lowest_bit(uint64_t m) { return (size_t)__builtin_ctzll(m); }

// pv: PV_LANES lanes. pv_choose reads that many winners. Of two rows of pixels in pairs, (y, x) beside (y + 1, x),
// pv_pixels has the next four pairs, and pv_pick gives lane i the pixel that its winner names in the window from pair x
// (0..2) on, or +0 where dead; pv_alive gives d, or -0 where dead. So fma(pick, alive, x) is x to the bit in dead
// lanes, since x + -0 is x for every x.
#if defined(SHK_ISA_AVX2)
#define PV_LANES 8
typedef __m256 pv;
typedef struct {
    __m256i at; // bytes of the four floats; negative where dead
    __m256 alive;
} pv_choice;
SHK_INLINE pv pv_zero(void) { return _mm256_setzero_ps(); }
SHK_INLINE pv pv_load(const float *p) { return _mm256_load_ps(p); }
SHK_INLINE void pv_store(float *p, pv a) { _mm256_store_ps(p, a); }
SHK_INLINE pv pv_set1(float f) { return _mm256_set1_ps(f); }
SHK_INLINE pv pv_spread(const float *p) { return _mm256_broadcast_ss(p); }
SHK_INLINE pv pv_add(pv a, pv b) { return _mm256_add_ps(a, b); }
SHK_INLINE pv pv_sub(pv a, pv b) { return _mm256_sub_ps(a, b); }
SHK_INLINE pv pv_fma(pv a, pv b, pv c) { return _mm256_fmadd_ps(a, b, c); }
SHK_INLINE pv_choice pv_choose(const uint8_t *winners) {
    const __m256i a = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)winners));
    const __m256i bytes = _mm256_setr_epi32(0x03020100, 0x0b0a0908, 0x07060504, 0x0f0e0d0c, -1, -1, -1, -1);
    return (pv_choice){_mm256_permutevar8x32_epi32(bytes, a),
                       _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)CONV_DEAD), a))};
}
typedef const float *pv_eight;
SHK_INLINE pv_eight pv_pixels(const float *p) { return p; }
SHK_INLINE pv pv_pick(pv_eight p, const int x, pv_choice c) {
    const __m128 *pairs = (const __m128 *)(p + 2 * x);
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_castps_si256(_mm256_broadcast_ps(pairs)), c.at));
}
SHK_INLINE pv pv_alive(pv d, pv_choice c) { return _mm256_blendv_ps(_mm256_set1_ps(-0.0f), d, c.alive); }
#elif defined(SHK_ISA_NEON)
#define PV_LANES 4
typedef float32x4_t pv;
typedef struct {
    uint8x16_t at; // bytes of the four floats; past 15 where dead
    uint32x4_t alive;
} pv_choice;
SHK_INLINE pv pv_zero(void) { return vdupq_n_f32(0); }
SHK_INLINE pv pv_load(const float *p) { return vld1q_f32(p); }
SHK_INLINE void pv_store(float *p, pv a) { vst1q_f32(p, a); }
SHK_INLINE pv pv_set1(float f) { return vdupq_n_f32(f); }
SHK_INLINE pv pv_spread(const float *p) { return vld1q_dup_f32(p); }
SHK_INLINE pv pv_add(pv a, pv b) { return vaddq_f32(a, b); }
SHK_INLINE pv pv_sub(pv a, pv b) { return vsubq_f32(a, b); }
SHK_INLINE pv pv_fma(pv a, pv b, pv c) { return vfmaq_f32(c, a, b); }
SHK_INLINE pv_choice pv_choose(const uint8_t *winners) {
    const uint32x4_t a = {winners[0], winners[1], winners[2], winners[3]};
    const uint32x4_t alive = vcltq_u32(a, vdupq_n_u32(CONV_DEAD));
    const uint32x4_t at = vandq_u32(vorrq_u32(vshlq_n_u32(a, 1), vshrq_n_u32(a, 1)), vdupq_n_u32(3));
    const uint32x4_t bytes = vmlaq_u32(vdupq_n_u32(0x03020100u), at, vdupq_n_u32(0x04040404u));
    return (pv_choice){vreinterpretq_u8_u32(vornq_u32(bytes, alive)), alive};
}
typedef const float *pv_eight;
SHK_INLINE pv_eight pv_pixels(const float *p) { return p; }
SHK_INLINE pv pv_pick(pv_eight p, const int x, pv_choice c) {
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(vld1q_f32(p + 2 * x)), c.at));
}
SHK_INLINE pv pv_alive(pv d, pv_choice c) { return vbslq_f32(c.alive, d, vdupq_n_f32(-0.0f)); }
#else
#define PV_LANES 16
typedef vf pv;
typedef vf pv_eight; // the other lanes are 0
typedef struct {
    vi at[3]; // from each pair on
    vm alive;
} pv_choice;
SHK_INLINE pv pv_zero(void) { return vf_zero(); }
SHK_INLINE pv pv_load(const float *p) { return vf_load(p); }
SHK_INLINE void pv_store(float *p, pv a) { vf_store(p, a); }
SHK_INLINE pv pv_set1(float f) { return vf_set1(f); }
SHK_INLINE pv pv_spread(const float *p) { return vf_spread(p); }
SHK_INLINE pv pv_add(pv a, pv b) { return vf_add(a, b); }
SHK_INLINE pv pv_sub(pv a, pv b) { return vf_sub(a, b); }
SHK_INLINE pv pv_fma(pv a, pv b, pv c) { return vf_fma(a, b, c); }
SHK_INLINE pv_choice pv_choose(const uint8_t *winners) {
    static const uint32_t by_winner[16] = {0, 2, 1, 3, 8}; // lane 8 is 0, and so are those after it
    const vi a = winners_load(winners), at = vf_as_vi(vf_permute(vi_as_vf(vi_loadu(by_winner)), a));
    return (pv_choice){{at, vi_add(at, vi_set1(2)), vi_add(at, vi_set1(4))}, vi_lt(a, vi_set1(CONV_DEAD))};
}
#ifdef SHK_ISA_AVX512
SHK_INLINE pv_eight pv_pixels(const float *p) { return _mm512_zextps256_ps512(_mm256_loadu_ps(p)); }
#else
SHK_INLINE pv_eight pv_pixels(const float *p) { return vf_load_n(p, 8); }
#endif
SHK_INLINE pv pv_pick(pv_eight p, const int x, pv_choice c) { return vf_permute(p, c.at[x]); }
SHK_INLINE pv pv_alive(pv d, pv_choice c) { return vf_select(c.alive, d, vf_set1(-0.0f)); }
#endif

#endif
