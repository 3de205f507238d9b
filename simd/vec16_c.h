// SPDX-License-Identifier: MIT
// vec16 is portable C here: the reference for the bits of every other backend.
#ifndef SHK_SIMD_VEC16_C_H
#define SHK_SIMD_VEC16_C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHK_INLINE static inline __attribute__((always_inline, unused))

typedef struct {
    float x[16];
} vf;
typedef struct {
    uint32_t x[16];
} vi;
// All bits of a lane are set or none.
typedef struct {
    uint32_t x[16];
} vm;

#define SHK_MAP(type, expression)                                                                                      \
    type r;                                                                                                            \
    for (int i = 0; i < 16; i++) r.x[i] = expression;                                                                  \
    return r

SHK_INLINE vf vf_loadu(const float *p) {
    vf r;
    memcpy(&r, p, sizeof r);
    return r;
}
SHK_INLINE vf vf_load(const float *p) { return vf_loadu(__builtin_assume_aligned(p, 64)); }
SHK_INLINE vf vf_held(vf a) { return a; }
SHK_INLINE void vf_storeu(float *p, vf a) { memcpy(p, &a, sizeof a); }
SHK_INLINE void vf_store(float *p, vf a) { vf_storeu(__builtin_assume_aligned(p, 64), a); }
SHK_INLINE vf vf_load_n(const float *p, size_t n) {
    vf r = {{0}};
    for (size_t i = 0; i < 16; i++)
        if (i < n) r.x[i] = p[i];
    return r;
}
SHK_INLINE void vf_store_n(float *p, vf a, size_t n) {
    for (size_t i = 0; i < 16; i++)
        if (i < n) p[i] = a.x[i];
}
SHK_INLINE void vf_store_pairs(float *p, vf a, vf b) {
    for (size_t i = 0; i < 16; i++) {
        p[2 * i] = a.x[i];
        p[2 * i + 1] = b.x[i];
    }
}
SHK_INLINE vi vi_loadu(const uint32_t *p) {
    vi r;
    memcpy(&r, p, sizeof r);
    return r;
}
SHK_INLINE vi vi_load(const uint32_t *p) { return vi_loadu(__builtin_assume_aligned(p, 64)); }
SHK_INLINE void vi_storeu(uint32_t *p, vi a) { memcpy(p, &a, sizeof a); }
SHK_INLINE void vi_store(uint32_t *p, vi a) { vi_storeu(__builtin_assume_aligned(p, 64), a); }

SHK_INLINE vf vf_set1(float f) { SHK_MAP(vf, f); }
SHK_INLINE vf vf_spread(const float *p) { return vf_set1(*p); }
SHK_INLINE vf vf_zero(void) { return vf_set1(0.0f); }
SHK_INLINE vi vi_set1(uint32_t u) { SHK_MAP(vi, u); }
SHK_INLINE vi vi_iota(void) { SHK_MAP(vi, (uint32_t)i); }

SHK_INLINE vi vf_as_vi(vf a) {
    vi r;
    memcpy(&r, &a, sizeof r);
    return r;
}
SHK_INLINE vf vi_as_vf(vi a) {
    vf r;
    memcpy(&r, &a, sizeof r);
    return r;
}

SHK_INLINE vf vf_add(vf a, vf b) { SHK_MAP(vf, a.x[i] + b.x[i]); }
SHK_INLINE vf vf_sub(vf a, vf b) { SHK_MAP(vf, a.x[i] - b.x[i]); }
SHK_INLINE vf vf_mul(vf a, vf b) { SHK_MAP(vf, a.x[i] * b.x[i]); }
SHK_INLINE vf vf_div(vf a, vf b) { SHK_MAP(vf, a.x[i] / b.x[i]); }
SHK_INLINE vf vf_sqrt(vf a) { SHK_MAP(vf, __builtin_sqrtf(a.x[i])); }
SHK_INLINE vf vf_fma(vf a, vf b, vf c) { SHK_MAP(vf, __builtin_fmaf(a.x[i], b.x[i], c.x[i])); }
SHK_INLINE vf vf_fnma(vf a, vf b, vf c) { SHK_MAP(vf, __builtin_fmaf(-a.x[i], b.x[i], c.x[i])); }
SHK_INLINE vf vf_abs(vf a) { SHK_MAP(vf, __builtin_fabsf(a.x[i])); }
SHK_INLINE vf vf_neg(vf a) { SHK_MAP(vf, -a.x[i]); }
SHK_INLINE vf vf_max(vf a, vf b) { SHK_MAP(vf, a.x[i] > b.x[i] ? a.x[i] : b.x[i]); }
SHK_INLINE vf vf_min(vf a, vf b) { SHK_MAP(vf, a.x[i] < b.x[i] ? a.x[i] : b.x[i]); }
// The sum with 1.5 * 2^23 has no fraction bits left; a result of zero is +0.
SHK_INLINE vf vf_from_vi(vi a) { SHK_MAP(vf, (float)(int32_t)a.x[i]); }

SHK_INLINE vi vi_add(vi a, vi b) { SHK_MAP(vi, a.x[i] + b.x[i]); }
SHK_INLINE vi vi_sub(vi a, vi b) { SHK_MAP(vi, a.x[i] - b.x[i]); }
SHK_INLINE vi vi_mullo(vi a, vi b) { SHK_MAP(vi, a.x[i] * b.x[i]); }
SHK_INLINE vi vi_mulhi(vi a, vi b) { SHK_MAP(vi, (uint32_t)((uint64_t)a.x[i] * b.x[i] >> 32)); }
SHK_INLINE vi vi_and(vi a, vi b) { SHK_MAP(vi, a.x[i] & b.x[i]); }
SHK_INLINE vi vi_or(vi a, vi b) { SHK_MAP(vi, a.x[i] | b.x[i]); }
SHK_INLINE vi vi_xor(vi a, vi b) { SHK_MAP(vi, a.x[i] ^ b.x[i]); }
SHK_INLINE vi vi_shl(vi a, int n) { SHK_MAP(vi, a.x[i] << n); }
SHK_INLINE vi vi_shr(vi a, int n) { SHK_MAP(vi, a.x[i] >> n); }

SHK_INLINE vm vf_lt(vf a, vf b) { SHK_MAP(vm, -(uint32_t)(a.x[i] < b.x[i])); }
SHK_INLINE vm vf_gt(vf a, vf b) { SHK_MAP(vm, -(uint32_t)(a.x[i] > b.x[i])); }
SHK_INLINE vm vf_ordered(vf a, vf b) {
    SHK_MAP(vm, -(uint32_t)(a.x[i] == a.x[i] && b.x[i] == b.x[i]));
} // neither is NaN
SHK_INLINE vm vf_eq(vf a, vf b) { SHK_MAP(vm, -(uint32_t)(a.x[i] == b.x[i])); }
SHK_INLINE vm vi_eq(vi a, vi b) { SHK_MAP(vm, -(uint32_t)(a.x[i] == b.x[i])); }
SHK_INLINE vm vi_lt(vi a, vi b) { SHK_MAP(vm, -(uint32_t)(a.x[i] < b.x[i])); }

SHK_INLINE vm vm_and(vm a, vm b) { SHK_MAP(vm, a.x[i] & b.x[i]); }
SHK_INLINE vm vm_or(vm a, vm b) { SHK_MAP(vm, a.x[i] | b.x[i]); }
SHK_INLINE vm vm_not(vm a) { SHK_MAP(vm, ~a.x[i]); }
SHK_INLINE vm vm_first(size_t n) { SHK_MAP(vm, -(uint32_t)((uint32_t)i < (uint32_t)n)); }
SHK_INLINE vm vm_from_bits(uint32_t u) { SHK_MAP(vm, -(u >> i & 1)); }
SHK_INLINE uint32_t vm_bits(vm m) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= m.x[i] & 1u << i;
    return bits;
}
SHK_INLINE vi vi_select(vm m, vi a, vi b) { SHK_MAP(vi, (m.x[i] & a.x[i]) | (~m.x[i] & b.x[i])); }
SHK_INLINE vf vf_select(vm m, vf a, vf b) { return vi_as_vf(vi_select(m, vf_as_vi(a), vf_as_vi(b))); }
SHK_INLINE vf vf_keep(vm m, vf a) { return vf_select(m, a, vf_zero()); }

SHK_INLINE float vf_sum(vf a) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.x[i] += a.x[i + half];
    return a.x[0];
}
SHK_INLINE void vf_sum4(const vf r[4], float *out) {
    for (int i = 0; i < 4; i++) out[i] = vf_sum(r[i]);
}
SHK_INLINE vf vf_sum16(const vf r[16]) {
    _Alignas(64) float sums[16];
    for (int i = 0; i < 16; i += 4) vf_sum4(r + i, sums + i);
    return vf_load(sums);
}
SHK_INLINE float vf_hmax(vf a) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) a.x[i] = a.x[i] > a.x[i + half] ? a.x[i] : a.x[i + half];
    return a.x[0];
}
SHK_INLINE vf vf_permute(vf a, vi idx) { SHK_MAP(vf, a.x[idx.x[i] & 15]); }
SHK_INLINE vf vf_even(vf a, vf b) { SHK_MAP(vf, i < 8 ? a.x[2 * i] : b.x[2 * i - 16]); }
SHK_INLINE vf vf_odd(vf a, vf b) { SHK_MAP(vf, i < 8 ? a.x[2 * i + 1] : b.x[2 * i - 15]); }
SHK_INLINE void vf_transpose16(vf r[16]) {
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < i; j++) {
            float t = r[i].x[j];
            r[i].x[j] = r[j].x[i];
            r[j].x[i] = t;
        }
}

#undef SHK_MAP
#endif
