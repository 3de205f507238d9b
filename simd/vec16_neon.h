// SPDX-License-Identifier: MIT
// vec16 is four quad registers of AArch64 here; lane flags are vectors of all-ones or zero lanes.
#ifndef SHK_SIMD_VEC16_NEON_H
#define SHK_SIMD_VEC16_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define SHK_INLINE static inline __attribute__((always_inline, unused))

typedef struct {
    float32x4_t q[4];
} vf;
typedef struct {
    uint32x4_t q[4];
} vi;
typedef struct {
    uint32x4_t q[4];
} vm;

// The expression for each quad register i.
#define SHK_QUADS(type, expression)                                                                                    \
    type r;                                                                                                            \
    for (int i = 0; i < 4; i++) r.q[i] = expression;                                                                   \
    return r

SHK_INLINE vf vf_set1(float f) { SHK_QUADS(vf, vdupq_n_f32(f)); }
SHK_INLINE vf vf_spread(const float *p) { return vf_set1(*p); }
SHK_INLINE vf vf_zero(void) { return vf_set1(0.0f); }
SHK_INLINE vi vi_set1(uint32_t u) { SHK_QUADS(vi, vdupq_n_u32(u)); }
SHK_INLINE vi vi_iota(void) { return (vi){{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13, 14, 15}}}; }
SHK_INLINE vi vf_as_vi(vf a) { SHK_QUADS(vi, vreinterpretq_u32_f32(a.q[i])); }
SHK_INLINE vf vi_as_vf(vi a) { SHK_QUADS(vf, vreinterpretq_f32_u32(a.q[i])); }

SHK_INLINE vf vf_loadu(const float *p) { SHK_QUADS(vf, vld1q_f32(p + 4 * i)); }
SHK_INLINE vf vf_load(const float *p) { return vf_loadu(__builtin_assume_aligned(p, 64)); }
SHK_INLINE vf vf_held(vf a) { return a; }
SHK_INLINE void vf_storeu(float *p, vf a) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.q[i]);
}
SHK_INLINE void vf_store(float *p, vf a) { vf_storeu(__builtin_assume_aligned(p, 64), a); }
SHK_INLINE vf vf_load_n(const float *p, size_t n) {
    float t[16] = {0};
    for (size_t i = 0; i < n; i++) t[i] = p[i];
    return vf_loadu(t);
}
SHK_INLINE void vf_store_n(float *p, vf a, size_t n) {
    float t[16];
    vf_storeu(t, a);
    for (size_t i = 0; i < n; i++) p[i] = t[i];
}
SHK_INLINE void vf_store_pairs(float *p, vf a, vf b) {
    for (int i = 0; i < 4; i++) vst2q_f32(p + 8 * i, (float32x4x2_t){{a.q[i], b.q[i]}});
}
SHK_INLINE vi vi_loadu(const uint32_t *p) { SHK_QUADS(vi, vld1q_u32(p + 4 * i)); }
SHK_INLINE vi vi_load(const uint32_t *p) { return vi_loadu(__builtin_assume_aligned(p, 64)); }
SHK_INLINE void vi_storeu(uint32_t *p, vi a) {
    for (int i = 0; i < 4; i++) vst1q_u32(p + 4 * i, a.q[i]);
}
SHK_INLINE void vi_store(uint32_t *p, vi a) { vi_storeu(__builtin_assume_aligned(p, 64), a); }

SHK_INLINE vf vf_add(vf a, vf b) { SHK_QUADS(vf, vaddq_f32(a.q[i], b.q[i])); }
SHK_INLINE vf vf_sub(vf a, vf b) { SHK_QUADS(vf, vsubq_f32(a.q[i], b.q[i])); }
SHK_INLINE vf vf_mul(vf a, vf b) { SHK_QUADS(vf, vmulq_f32(a.q[i], b.q[i])); }
SHK_INLINE vf vf_div(vf a, vf b) { SHK_QUADS(vf, vdivq_f32(a.q[i], b.q[i])); }
SHK_INLINE vf vf_sqrt(vf a) { SHK_QUADS(vf, vsqrtq_f32(a.q[i])); }
SHK_INLINE vf vf_fma(vf a, vf b, vf c) { SHK_QUADS(vf, vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
SHK_INLINE vf vf_fnma(vf a, vf b, vf c) { SHK_QUADS(vf, vfmsq_f32(c.q[i], a.q[i], b.q[i])); }
SHK_INLINE vf vf_abs(vf a) { SHK_QUADS(vf, vabsq_f32(a.q[i])); }
SHK_INLINE vf vf_neg(vf a) { SHK_QUADS(vf, vnegq_f32(a.q[i])); }
// Compare and select, since FMAX orders the zeros and returns NaN.
SHK_INLINE vf vf_max(vf a, vf b) { SHK_QUADS(vf, vbslq_f32(vcgtq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
SHK_INLINE vf vf_min(vf a, vf b) { SHK_QUADS(vf, vbslq_f32(vcltq_f32(a.q[i], b.q[i]), a.q[i], b.q[i])); }
// The sum with 1.5 * 2^23 has no fraction bits left; a result of zero is +0.
SHK_INLINE vf vf_from_vi(vi a) { SHK_QUADS(vf, vcvtq_f32_s32(vreinterpretq_s32_u32(a.q[i]))); }

SHK_INLINE vi vi_add(vi a, vi b) { SHK_QUADS(vi, vaddq_u32(a.q[i], b.q[i])); }
SHK_INLINE vi vi_sub(vi a, vi b) { SHK_QUADS(vi, vsubq_u32(a.q[i], b.q[i])); }
SHK_INLINE vi vi_mullo(vi a, vi b) { SHK_QUADS(vi, vmulq_u32(a.q[i], b.q[i])); }
SHK_INLINE uint32x4_t shk_mulhi4(uint32x4_t a, uint32x4_t b) {
    uint64x2_t lo = vmull_u32(vget_low_u32(a), vget_low_u32(b)), hi = vmull_high_u32(a, b);
    return vuzp2q_u32(vreinterpretq_u32_u64(lo), vreinterpretq_u32_u64(hi));
}
SHK_INLINE vi vi_mulhi(vi a, vi b) { SHK_QUADS(vi, shk_mulhi4(a.q[i], b.q[i])); }
SHK_INLINE vi vi_and(vi a, vi b) { SHK_QUADS(vi, vandq_u32(a.q[i], b.q[i])); }
SHK_INLINE vi vi_or(vi a, vi b) { SHK_QUADS(vi, vorrq_u32(a.q[i], b.q[i])); }
SHK_INLINE vi vi_xor(vi a, vi b) { SHK_QUADS(vi, veorq_u32(a.q[i], b.q[i])); }
// Operators of the vector extension, since the intrinsics want a literal.
SHK_INLINE vi vi_shl(vi a, int n) { SHK_QUADS(vi, a.q[i] << (uint32_t)n); }
SHK_INLINE vi vi_shr(vi a, int n) { SHK_QUADS(vi, a.q[i] >> (uint32_t)n); }

SHK_INLINE vm vf_lt(vf a, vf b) { SHK_QUADS(vm, vcltq_f32(a.q[i], b.q[i])); }
SHK_INLINE vm vf_gt(vf a, vf b) { SHK_QUADS(vm, vcgtq_f32(a.q[i], b.q[i])); }
// Neither is NaN.
SHK_INLINE vm vf_ordered(vf a, vf b) { SHK_QUADS(vm, vandq_u32(vceqq_f32(a.q[i], a.q[i]), vceqq_f32(b.q[i], b.q[i]))); }
SHK_INLINE vm vf_eq(vf a, vf b) { SHK_QUADS(vm, vceqq_f32(a.q[i], b.q[i])); }
SHK_INLINE vm vi_eq(vi a, vi b) { SHK_QUADS(vm, vceqq_u32(a.q[i], b.q[i])); }
SHK_INLINE vm vi_lt(vi a, vi b) { SHK_QUADS(vm, vcltq_u32(a.q[i], b.q[i])); }

SHK_INLINE vm vm_and(vm a, vm b) { SHK_QUADS(vm, vandq_u32(a.q[i], b.q[i])); }
SHK_INLINE vm vm_or(vm a, vm b) { SHK_QUADS(vm, vorrq_u32(a.q[i], b.q[i])); }
SHK_INLINE vm vm_not(vm a) { SHK_QUADS(vm, vmvnq_u32(a.q[i])); }
SHK_INLINE vm vm_first(size_t n) { return vi_lt(vi_iota(), vi_set1((uint32_t)n)); }
SHK_INLINE vi shk_lane_bits(void) {
    return (vi){{{1, 2, 4, 8}, {16, 32, 64, 128}, {256, 512, 1024, 2048}, {4096, 8192, 16384, 32768}}};
}
SHK_INLINE uint32_t vm_bits(vm m) {
    vi bit = shk_lane_bits();
    uint32x4_t low = vorrq_u32(vandq_u32(m.q[0], bit.q[0]), vandq_u32(m.q[1], bit.q[1]));
    uint32x4_t high = vorrq_u32(vandq_u32(m.q[2], bit.q[2]), vandq_u32(m.q[3], bit.q[3]));
    return vaddvq_u32(vorrq_u32(low, high));
}
SHK_INLINE vm vm_from_bits(uint32_t u) {
    vi bit = shk_lane_bits();
    SHK_QUADS(vm, vtstq_u32(vdupq_n_u32(u), bit.q[i]));
}
SHK_INLINE vf vf_select(vm m, vf a, vf b) { SHK_QUADS(vf, vbslq_f32(m.q[i], a.q[i], b.q[i])); }
SHK_INLINE vi vi_select(vm m, vi a, vi b) { SHK_QUADS(vi, vbslq_u32(m.q[i], a.q[i], b.q[i])); }
SHK_INLINE vf vf_keep(vm m, vf a) {
    SHK_QUADS(vf, vreinterpretq_f32_u32(vandq_u32(m.q[i], vreinterpretq_u32_f32(a.q[i]))));
}

SHK_INLINE float vf_sum(vf a) {
    float32x4_t s4 = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}
SHK_INLINE float32x4_t shk_max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
SHK_INLINE void vf_sum4(const vf r[4], float *out) {
    for (int i = 0; i < 4; i++) out[i] = vf_sum(r[i]);
}
SHK_INLINE vf vf_sum16(const vf r[16]) {
    _Alignas(64) float sums[16];
    for (int i = 0; i < 16; i += 4) vf_sum4(r + i, sums + i);
    return vf_load(sums);
}
SHK_INLINE float vf_hmax(vf a) {
    float32x4_t s4 = shk_max4(shk_max4(a.q[0], a.q[2]), shk_max4(a.q[1], a.q[3]));
    float32x4_t s2 = shk_max4(s4, vextq_f32(s4, s4, 2));
    float x = vgetq_lane_f32(s2, 0), y = vgetq_lane_f32(s2, 1);
    return x > y ? x : y;
}
SHK_INLINE vf vf_permute(vf a, vi idx) {
    uint8x16x4_t table;
    for (int i = 0; i < 4; i++) table.val[i] = vreinterpretq_u8_f32(a.q[i]);
    // byte k of lane index x is byte 4x + k of the table
    uint32x4_t fifteen = vdupq_n_u32(15), spread = vdupq_n_u32(0x04040404u), step = vdupq_n_u32(0x03020100u);
    SHK_QUADS(vf, vreinterpretq_f32_u8(
                      vqtbl4q_u8(table, vreinterpretq_u8_u32(vmlaq_u32(step, vandq_u32(idx.q[i], fifteen), spread)))));
}
SHK_INLINE vf vf_even(vf a, vf b) {
    return (vf){{vuzp1q_f32(a.q[0], a.q[1]), vuzp1q_f32(a.q[2], a.q[3]), vuzp1q_f32(b.q[0], b.q[1]),
                 vuzp1q_f32(b.q[2], b.q[3])}};
}
SHK_INLINE vf vf_odd(vf a, vf b) {
    return (vf){{vuzp2q_f32(a.q[0], a.q[1]), vuzp2q_f32(a.q[2], a.q[3]), vuzp2q_f32(b.q[0], b.q[1]),
                 vuzp2q_f32(b.q[2], b.q[3])}};
}
SHK_INLINE void vf_transpose16(vf r[16]) {
    vf out[16];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) { // 4x4 block in block row i, block column j
            float32x4_t a = r[4 * i].q[j], b = r[4 * i + 1].q[j], c = r[4 * i + 2].q[j], d = r[4 * i + 3].q[j];
            float64x2_t ab0 = vreinterpretq_f64_f32(vtrn1q_f32(a, b)), ab1 = vreinterpretq_f64_f32(vtrn2q_f32(a, b));
            float64x2_t cd0 = vreinterpretq_f64_f32(vtrn1q_f32(c, d)), cd1 = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
            out[4 * j].q[i] = vreinterpretq_f32_f64(vtrn1q_f64(ab0, cd0));
            out[4 * j + 1].q[i] = vreinterpretq_f32_f64(vtrn1q_f64(ab1, cd1));
            out[4 * j + 2].q[i] = vreinterpretq_f32_f64(vtrn2q_f64(ab0, cd0));
            out[4 * j + 3].q[i] = vreinterpretq_f32_f64(vtrn2q_f64(ab1, cd1));
        }
    for (int i = 0; i < 16; i++) r[i] = out[i];
}

#undef SHK_QUADS
#endif
