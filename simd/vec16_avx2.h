// SPDX-License-Identifier: MIT
// vec16 is two ymm registers here; lane flags are two vectors of all-ones or zero lanes. It needs AVX2 and FMA.
#ifndef SHK_SIMD_VEC16_AVX2_H
#define SHK_SIMD_VEC16_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SHK_INLINE static inline __attribute__((always_inline, unused))

typedef struct {
    __m256 lo, hi;
} vf;
typedef struct {
    __m256i lo, hi;
} vi;
typedef struct {
    __m256 lo, hi;
} vm;

// The same operation on both halves.
#define SHK_BOTH1(type, f, a) ((type){f((a).lo), f((a).hi)})
#define SHK_BOTH2(type, f, a, b) ((type){f((a).lo, (b).lo), f((a).hi, (b).hi)})
#define SHK_BOTH3(type, f, a, b, c) ((type){f((a).lo, (b).lo, (c).lo), f((a).hi, (b).hi, (c).hi)})

SHK_INLINE vf vf_set1(float f) { return (vf){_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
SHK_INLINE vf vf_spread(const float *p) { return vf_set1(*p); }
SHK_INLINE vf vf_zero(void) { return (vf){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
SHK_INLINE vi vi_set1(uint32_t u) { return (vi){_mm256_set1_epi32((int)u), _mm256_set1_epi32((int)u)}; }
SHK_INLINE vi vi_iota(void) {
    return (vi){_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
SHK_INLINE vi vf_as_vi(vf a) { return SHK_BOTH1(vi, _mm256_castps_si256, a); }
SHK_INLINE vf vi_as_vf(vi a) { return SHK_BOTH1(vf, _mm256_castsi256_ps, a); }
SHK_INLINE vi vm_as_vi(vm a) { return SHK_BOTH1(vi, _mm256_castps_si256, a); }
SHK_INLINE vm vi_as_vm(vi a) { return SHK_BOTH1(vm, _mm256_castsi256_ps, a); }

SHK_INLINE vm vm_first(size_t n) {
    vi limit = vi_set1((uint32_t)n), lane = vi_iota();
    return vi_as_vm(SHK_BOTH2(vi, _mm256_cmpgt_epi32, limit, lane));
}

SHK_INLINE vf vf_load(const float *p) { return (vf){_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
SHK_INLINE vf vf_held(vf a) {
    __asm__("" : "+x"(a.lo), "+x"(a.hi));
    return a;
}
SHK_INLINE vf vf_loadu(const float *p) { return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SHK_INLINE void vf_store(float *p, vf a) {
    _mm256_store_ps(p, a.lo);
    _mm256_store_ps(p + 8, a.hi);
}
SHK_INLINE void vf_storeu(float *p, vf a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
SHK_INLINE vf vf_load_n(const float *p, size_t n) {
    vi m = vm_as_vi(vm_first(n));
    return (vf){_mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi)};
}
SHK_INLINE void vf_store_n(float *p, vf a, size_t n) {
    vi m = vm_as_vi(vm_first(n));
    _mm256_maskstore_ps(p, m.lo, a.lo);
    _mm256_maskstore_ps(p + 8, m.hi, a.hi);
}
SHK_INLINE void vf_store_pairs(float *p, vf a, vf b) {
    const vf even = SHK_BOTH2(vf, _mm256_unpacklo_ps, a, b), odd = SHK_BOTH2(vf, _mm256_unpackhi_ps, a, b);
    _mm256_store_ps(p, _mm256_permute2f128_ps(even.lo, odd.lo, 0x20));
    _mm256_store_ps(p + 8, _mm256_permute2f128_ps(even.lo, odd.lo, 0x31));
    _mm256_store_ps(p + 16, _mm256_permute2f128_ps(even.hi, odd.hi, 0x20));
    _mm256_store_ps(p + 24, _mm256_permute2f128_ps(even.hi, odd.hi, 0x31));
}
SHK_INLINE vi vi_load(const uint32_t *p) {
    return (vi){_mm256_load_si256((const __m256i *)p), _mm256_load_si256((const __m256i *)(p + 8))};
}
SHK_INLINE vi vi_loadu(const uint32_t *p) {
    return (vi){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8))};
}
SHK_INLINE void vi_store(uint32_t *p, vi a) {
    _mm256_store_si256((__m256i *)p, a.lo);
    _mm256_store_si256((__m256i *)(p + 8), a.hi);
}
SHK_INLINE void vi_storeu(uint32_t *p, vi a) {
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 8), a.hi);
}

SHK_INLINE vf vf_add(vf a, vf b) { return SHK_BOTH2(vf, _mm256_add_ps, a, b); }
SHK_INLINE vf vf_sub(vf a, vf b) { return SHK_BOTH2(vf, _mm256_sub_ps, a, b); }
SHK_INLINE vf vf_mul(vf a, vf b) { return SHK_BOTH2(vf, _mm256_mul_ps, a, b); }
SHK_INLINE vf vf_div(vf a, vf b) { return SHK_BOTH2(vf, _mm256_div_ps, a, b); }
SHK_INLINE vf vf_sqrt(vf a) { return SHK_BOTH1(vf, _mm256_sqrt_ps, a); }
SHK_INLINE vf vf_fma(vf a, vf b, vf c) { return SHK_BOTH3(vf, _mm256_fmadd_ps, a, b, c); }
SHK_INLINE vf vf_fnma(vf a, vf b, vf c) { return SHK_BOTH3(vf, _mm256_fnmadd_ps, a, b, c); }
SHK_INLINE vf vf_abs(vf a) {
    vf sign = vf_set1(-0.0f);
    return SHK_BOTH2(vf, _mm256_andnot_ps, sign, a);
}
SHK_INLINE vf vf_neg(vf a) {
    vf sign = vf_set1(-0.0f);
    return SHK_BOTH2(vf, _mm256_xor_ps, sign, a);
}
SHK_INLINE vf vf_max(vf a, vf b) { return SHK_BOTH2(vf, _mm256_max_ps, a, b); }
SHK_INLINE vf vf_min(vf a, vf b) { return SHK_BOTH2(vf, _mm256_min_ps, a, b); }
// The sum with 1.5 * 2^23 has no fraction bits left; a result of zero is +0.
SHK_INLINE vf vf_from_vi(vi a) { return SHK_BOTH1(vf, _mm256_cvtepi32_ps, a); }

SHK_INLINE vi vi_add(vi a, vi b) { return SHK_BOTH2(vi, _mm256_add_epi32, a, b); }
SHK_INLINE vi vi_sub(vi a, vi b) { return SHK_BOTH2(vi, _mm256_sub_epi32, a, b); }
SHK_INLINE vi vi_mullo(vi a, vi b) { return SHK_BOTH2(vi, _mm256_mullo_epi32, a, b); }
SHK_INLINE __m256i shk_mulhi8(__m256i a, __m256i b) {
    __m256i even = _mm256_mul_epu32(a, b); // 64-bit products of lanes 0, 2, ...
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
SHK_INLINE vi vi_mulhi(vi a, vi b) { return SHK_BOTH2(vi, shk_mulhi8, a, b); }
SHK_INLINE vi vi_and(vi a, vi b) { return SHK_BOTH2(vi, _mm256_and_si256, a, b); }
SHK_INLINE vi vi_or(vi a, vi b) { return SHK_BOTH2(vi, _mm256_or_si256, a, b); }
SHK_INLINE vi vi_xor(vi a, vi b) { return SHK_BOTH2(vi, _mm256_xor_si256, a, b); }
SHK_INLINE vi vi_shl(vi a, int n) { return (vi){(__m256i)((__v8su)a.lo << n), (__m256i)((__v8su)a.hi << n)}; }
SHK_INLINE vi vi_shr(vi a, int n) { return (vi){(__m256i)((__v8su)a.lo >> n), (__m256i)((__v8su)a.hi >> n)}; }

#define SHK_COMPARE(a, b, op) ((vm){_mm256_cmp_ps((a).lo, (b).lo, op), _mm256_cmp_ps((a).hi, (b).hi, op)})
SHK_INLINE vm vf_lt(vf a, vf b) { return SHK_COMPARE(a, b, _CMP_LT_OQ); }
SHK_INLINE vm vf_gt(vf a, vf b) { return SHK_COMPARE(a, b, _CMP_GT_OQ); }
SHK_INLINE vm vf_ordered(vf a, vf b) { return SHK_COMPARE(a, b, _CMP_ORD_Q); } // neither is NaN
SHK_INLINE vm vf_eq(vf a, vf b) { return SHK_COMPARE(a, b, _CMP_EQ_OQ); }
#undef SHK_COMPARE
SHK_INLINE vm vi_eq(vi a, vi b) { return vi_as_vm(SHK_BOTH2(vi, _mm256_cmpeq_epi32, a, b)); }
SHK_INLINE vm vi_lt(vi a, vi b) {
    vi top = vi_set1(0x80000000u), x = vi_xor(a, top), y = vi_xor(b, top); // unsigned order as signed order
    return vi_as_vm(SHK_BOTH2(vi, _mm256_cmpgt_epi32, y, x));
}

SHK_INLINE vm vm_and(vm a, vm b) { return SHK_BOTH2(vm, _mm256_and_ps, a, b); }
SHK_INLINE vm vm_or(vm a, vm b) { return SHK_BOTH2(vm, _mm256_or_ps, a, b); }
SHK_INLINE vm vm_not(vm a) { return vi_as_vm(vi_xor(vm_as_vi(a), vi_set1(0xffffffffu))); }
SHK_INLINE uint32_t vm_bits(vm m) {
    return (uint32_t)_mm256_movemask_ps(m.lo) | (uint32_t)_mm256_movemask_ps(m.hi) << 8;
}
SHK_INLINE vm vm_from_bits(uint32_t u) {
    vi bit = {_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128),
              _mm256_setr_epi32(256, 512, 1024, 2048, 4096, 8192, 16384, 32768)};
    return vi_eq(vi_and(vi_set1(u), bit), bit);
}
SHK_INLINE vf vf_select(vm m, vf a, vf b) { return SHK_BOTH3(vf, _mm256_blendv_ps, b, a, m); }
SHK_INLINE vi vi_select(vm m, vi a, vi b) { return vf_as_vi(vf_select(m, vi_as_vf(a), vi_as_vf(b))); }
SHK_INLINE vf vf_keep(vm m, vf a) { return SHK_BOTH2(vf, _mm256_and_ps, m, a); }

SHK_INLINE float vf_sum(vf a) {
    __m256 s8 = _mm256_add_ps(a.lo, a.hi);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
// The folds of four, the same additions: out[i] = vf_sum(r[i]).
SHK_INLINE void vf_sum4(const vf r[4], float *out) {
    __m256 s8[4];
    for (int i = 0; i < 4; i++) s8[i] = _mm256_add_ps(r[i].lo, r[i].hi);
    // Halves side by side: what was lane i of r[0] and r[2] is in the lower one, of r[1] and r[3] in the upper one.
    __m256 a = _mm256_add_ps(_mm256_permute2f128_ps(s8[0], s8[1], 0x20), _mm256_permute2f128_ps(s8[0], s8[1], 0x31));
    __m256 b = _mm256_add_ps(_mm256_permute2f128_ps(s8[2], s8[3], 0x20), _mm256_permute2f128_ps(s8[2], s8[3], 0x31));
    __m256 s2 = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    __m256 s1 = _mm256_add_ps(s2, _mm256_movehdup_ps(s2)); // in lanes 0 and 2
    _mm_storeu_ps(out, _mm_blend_ps(_mm256_castps256_ps128(s1), _mm_moveldup_ps(_mm256_extractf128_ps(s1, 1)), 0xa));
}
SHK_INLINE vf vf_sum16(const vf r[16]) {
    _Alignas(64) float sums[16];
    for (int i = 0; i < 16; i += 4) vf_sum4(r + i, sums + i);
    return vf_load(sums);
}
SHK_INLINE float vf_hmax(vf a) {
    __m256 s8 = _mm256_max_ps(a.lo, a.hi);
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}
SHK_INLINE __m256 shk_permute8(vf a, __m256i idx) {
    __m256 lo = _mm256_permutevar8x32_ps(a.lo, idx), hi = _mm256_permutevar8x32_ps(a.hi, idx);
    return _mm256_blendv_ps(lo, hi, _mm256_castsi256_ps(_mm256_slli_epi32(idx, 28))); // bit 3 chooses the half
}
SHK_INLINE vf vf_permute(vf a, vi idx) { return (vf){shk_permute8(a, idx.lo), shk_permute8(a, idx.hi)}; }
// Lanes of each half from a.lo, a.hi, a.lo, a.hi in pairs, put in order.
SHK_INLINE __m256 shk_in_order(__m256 a) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), _MM_SHUFFLE(3, 1, 2, 0)));
}
SHK_INLINE vf vf_even(vf a, vf b) {
    return (vf){shk_in_order(_mm256_shuffle_ps(a.lo, a.hi, _MM_SHUFFLE(2, 0, 2, 0))),
                shk_in_order(_mm256_shuffle_ps(b.lo, b.hi, _MM_SHUFFLE(2, 0, 2, 0)))};
}
SHK_INLINE vf vf_odd(vf a, vf b) {
    return (vf){shk_in_order(_mm256_shuffle_ps(a.lo, a.hi, _MM_SHUFFLE(3, 1, 3, 1))),
                shk_in_order(_mm256_shuffle_ps(b.lo, b.hi, _MM_SHUFFLE(3, 1, 3, 1)))};
}

SHK_INLINE void shk_transpose8(__m256 r[8]) {
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    // u[4g + c]: in its 128-bit lane q, column 4q + c of rows 4g .. 4g + 3
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int c = 0; c < 4; c++) {
        r[c] = _mm256_permute2f128_ps(u[c], u[c + 4], 0x20);
        r[c + 4] = _mm256_permute2f128_ps(u[c], u[c + 4], 0x31);
    }
}
SHK_INLINE void vf_transpose16(vf r[16]) {
    __m256 a[8], b[8], c[8], d[8]; // quarters: upper left, upper right, lower left, lower right
    for (int i = 0; i < 8; i++) {
        a[i] = r[i].lo;
        b[i] = r[i].hi;
        c[i] = r[i + 8].lo;
        d[i] = r[i + 8].hi;
    }
    shk_transpose8(a);
    shk_transpose8(b);
    shk_transpose8(c);
    shk_transpose8(d);
    for (int i = 0; i < 8; i++) {
        r[i] = (vf){a[i], c[i]};
        r[i + 8] = (vf){b[i], d[i]};
    }
}

#undef SHK_BOTH1
#undef SHK_BOTH2
#undef SHK_BOTH3
#endif
