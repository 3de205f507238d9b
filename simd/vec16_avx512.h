// SPDX-License-Identifier: MIT
// vec16 is one zmm register here; lane flags are a mask register. It needs AVX-512 F, DQ, BW, VL.
#ifndef SHK_SIMD_VEC16_AVX512_H
#define SHK_SIMD_VEC16_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHK_INLINE static inline __attribute__((always_inline, unused))

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

SHK_INLINE vm vm_first(size_t n) { return (vm)((1u << n) - 1); }

SHK_INLINE vf vf_load(const float *p) { return _mm512_load_ps(p); }
SHK_INLINE vf vf_held(vf a) {
    __asm__("" : "+v"(a));
    return a;
}
SHK_INLINE vf vf_loadu(const float *p) { return _mm512_loadu_ps(p); }
SHK_INLINE void vf_store(float *p, vf a) { _mm512_store_ps(p, a); }
SHK_INLINE void vf_storeu(float *p, vf a) { _mm512_storeu_ps(p, a); }
SHK_INLINE vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
SHK_INLINE void vf_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, vm_first(n), a); }
SHK_INLINE void vf_store_pairs(float *p, vf a, vf b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    _mm512_store_ps(p, _mm512_permutex2var_ps(a, low, b));
    _mm512_store_ps(p + 16, _mm512_permutex2var_ps(a, high, b));
}
SHK_INLINE vi vi_load(const uint32_t *p) { return _mm512_load_si512(p); }
SHK_INLINE vi vi_loadu(const uint32_t *p) { return _mm512_loadu_si512(p); }
SHK_INLINE void vi_store(uint32_t *p, vi a) { _mm512_store_si512(p, a); }
SHK_INLINE void vi_storeu(uint32_t *p, vi a) { _mm512_storeu_si512(p, a); }

SHK_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
SHK_INLINE vf vf_set1(float f) { return _mm512_set1_ps(f); }
// By way of an integer register: where a loop is bound by its loads of vectors, a broadcast from memory is one more.
SHK_INLINE vi vi_spread(uint32_t u) {
    vi a;
    __asm__("vpbroadcastd %1, %0" : "=v"(a) : "r"(u));
    return a;
}
SHK_INLINE vf vf_spread(const float *p) {
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_castsi512_ps(vi_spread(bits));
}
SHK_INLINE vi vi_set1(uint32_t u) { return _mm512_set1_epi32((int)u); }
SHK_INLINE vi vi_iota(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
SHK_INLINE vi vf_as_vi(vf a) { return _mm512_castps_si512(a); }
SHK_INLINE vf vi_as_vf(vi a) { return _mm512_castsi512_ps(a); }

SHK_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
SHK_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
SHK_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
SHK_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
SHK_INLINE vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
SHK_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
SHK_INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
SHK_INLINE vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
SHK_INLINE vf vf_neg(vf a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
SHK_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
SHK_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
// The sum with 1.5 * 2^23 has no fraction bits left; a result of zero is +0.
SHK_INLINE vf vf_from_vi(vi a) { return _mm512_cvtepi32_ps(a); }

SHK_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
SHK_INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
SHK_INLINE vi vi_mullo(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
SHK_INLINE vi vi_mulhi(vi a, vi b) {
    __m512i even = _mm512_mul_epu32(a, b); // 64-bit products of lanes 0, 2, ...
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
}
SHK_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
SHK_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
SHK_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
// Operators of the vector extension, since the intrinsics want a literal.
SHK_INLINE vi vi_shl(vi a, int n) { return (__m512i)((__v16su)a << n); }
SHK_INLINE vi vi_shr(vi a, int n) { return (__m512i)((__v16su)a >> n); }

SHK_INLINE vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
SHK_INLINE vm vf_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
SHK_INLINE vm vf_ordered(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_ORD_Q); } // neither is NaN
SHK_INLINE vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
SHK_INLINE vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
SHK_INLINE vm vi_lt(vi a, vi b) { return _mm512_cmplt_epu32_mask(a, b); }

SHK_INLINE vm vm_and(vm a, vm b) { return (vm)(a & b); }
SHK_INLINE vm vm_or(vm a, vm b) { return (vm)(a | b); }
SHK_INLINE vm vm_not(vm a) { return (vm)~a; }
SHK_INLINE uint32_t vm_bits(vm m) { return m; }
SHK_INLINE vm vm_from_bits(uint32_t u) { return (vm)u; }
SHK_INLINE vf vf_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
SHK_INLINE vi vi_select(vm m, vi a, vi b) { return _mm512_mask_blend_epi32(m, b, a); }
SHK_INLINE vf vf_keep(vm m, vf a) { return _mm512_maskz_mov_ps(m, a); }

SHK_INLINE float vf_sum(vf a) {
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
// The folds of four, the same additions: out[i] = vf_sum(r[i]).
SHK_INLINE void vf_sum4(const vf r[4], float *out) {
    __m256 s8[4];
    for (int i = 0; i < 4; i++) s8[i] = _mm256_add_ps(_mm512_castps512_ps256(r[i]), _mm512_extractf32x8_ps(r[i], 1));
    // Halves side by side: what was lane i of r[0] and r[2] is in the lower one, of r[1] and r[3] in the upper one.
    __m256 a = _mm256_add_ps(_mm256_permute2f128_ps(s8[0], s8[1], 0x20), _mm256_permute2f128_ps(s8[0], s8[1], 0x31));
    __m256 b = _mm256_add_ps(_mm256_permute2f128_ps(s8[2], s8[3], 0x20), _mm256_permute2f128_ps(s8[2], s8[3], 0x31));
    __m256 s2 = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    __m256 s1 = _mm256_add_ps(s2, _mm256_movehdup_ps(s2)); // in lanes 0 and 2
    _mm_storeu_ps(out, _mm_blend_ps(_mm256_castps256_ps128(s1), _mm_moveldup_ps(_mm256_extractf128_ps(s1, 1)), 0xa));
}
// Each step adds the halves of two vectors side by side, so that lane i ends with the sum of r[i].
SHK_INLINE vf vf_sum16(const vf r[16]) {
    __m512 s8[8], s4[4], s2[2];
    for (int i = 0; i < 8; i++) {
        const __m512 a = r[i + i / 4 * 4], b = r[i + i / 4 * 4 + 4];
        s8[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    }
    for (int i = 0; i < 4; i++) {
        const __m512 a = s8[i], b = s8[i + 4];
        s4[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    for (int i = 0; i < 2; i++) {
        const __m512 a = s4[2 * i], b = s4[2 * i + 1];
        s2[i] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    }
    return _mm512_add_ps(_mm512_shuffle_ps(s2[0], s2[1], 0x88), _mm512_shuffle_ps(s2[0], s2[1], 0xdd));
}
SHK_INLINE float vf_hmax(vf a) {
    __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}
SHK_INLINE vf vf_permute(vf a, vi idx) { return _mm512_permutexvar_ps(idx, a); }
SHK_INLINE vf vf_even(vf a, vf b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
}
SHK_INLINE vf vf_odd(vf a, vf b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
}

SHK_INLINE void vf_transpose16(vf r[16]) {
    __m512 t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    // u[4g + c]: in its 128-bit lane q, column 4q + c of rows 4g .. 4g + 3
    for (int i = 0; i < 16; i += 4) {
        u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int c = 0; c < 4; c++) {
        __m512 a = _mm512_shuffle_f32x4(u[c], u[c + 4], 0x88);      // q = 0, 2 of rows 0..7
        __m512 b = _mm512_shuffle_f32x4(u[c], u[c + 4], 0xdd);      // q = 1, 3
        __m512 d = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0x88); // the same of rows 8..15
        __m512 e = _mm512_shuffle_f32x4(u[c + 8], u[c + 12], 0xdd);
        r[c] = _mm512_shuffle_f32x4(a, d, 0x88);
        r[c + 4] = _mm512_shuffle_f32x4(b, e, 0x88);
        r[c + 8] = _mm512_shuffle_f32x4(a, d, 0xdd);
        r[c + 12] = _mm512_shuffle_f32x4(b, e, 0xdd);
    }
}

#endif
