// SPDX-License-Identifier: MIT
// These are exp, log, sine and cosine on 16 lanes, from fused multiply-adds alone. The polynomials are minimax (Remez),
// with coefficients rounded to f32 one after the other and the rest fitted anew. The errors named were measured against
// libm in double.
#ifndef SHK_SIMD_VEC16_MATH_H
#define SHK_SIMD_VEC16_MATH_H

#include "vec16.h"

// p * 2^n, rounded once; -254 < n < 256, 1/2 < |p| < 2 or NaN. n as float and as int32.
SHK_INLINE vf shk_scale2(vf p, vf n, vi n_int) {
#if defined(SHK_ISA_AVX512)
    (void)n_int;
    return _mm512_scalef_ps(p, n);
#else
    (void)n;
    // Two factors with biased exponents that add up to n + 254; the first product is exact.
    vi sum = vi_add(n_int, vi_set1(254)), first = vi_shr(sum, 1);
    p = vf_mul(p, vi_as_vf(vi_shl(first, 23)));
    return vf_mul(p, vi_as_vf(vi_shl(vi_sub(sum, first), 23)));
#endif
}

// e^x. Error below 0.89 ulp, of denormal results too; exact 0 below -104 and inf above 88.73; NaN gives NaN.
SHK_INLINE vf vf_exp(vf x) {
    // x = n ln 2 + r, |r| <= ln(2)/2; the constants come first in max and min so that NaN stays
    x = vf_min(vf_set1(89.0f), vf_max(vf_set1(-104.0f), x));
    const vf magic = vf_set1(0x1.8p23f); // adding it leaves the integer n in the low bits
    vf shifted = vf_fma(x, vf_set1(1.44269502f), magic);
    vf n = vf_sub(shifted, magic);
    vf r = vf_fnma(n, vf_set1(0.693359375f), x); // ln 2 in two parts, n times the first is exact
    r = vf_fma(n, vf_set1(2.12194442e-4f), r);
    vf q = vf_set1(0.00138190051f);
    q = vf_fma(q, r, vf_set1(0.00836909469f));
    q = vf_fma(q, r, vf_set1(0.0416682512f));
    q = vf_fma(q, r, vf_set1(0.166665167f));
    q = vf_fma(q, r, vf_set1(0.49999994f));
    q = vf_fma(q, r, vf_set1(1.0f));
    q = vf_fma(q, r, vf_set1(1.0f));
    return shk_scale2(q, n, vi_sub(vf_as_vi(shifted), vf_as_vi(magic)));
}

// ln x. Error below 0.90 ulp; 0 gives -inf, inf gives inf, negative and NaN give NaN.
SHK_INLINE vf vf_log(vf x) {
    // x = 2^e m, sqrt(1/2) <= m < sqrt(2)
    const vm denormal = vf_lt(x, vf_set1(0x1p-126f));
    const vi root_half = vi_set1(0x3f3504f3), one = vi_set1(0x3f800000);
    vi bits = vf_as_vi(vf_select(denormal, vf_mul(x, vf_set1(0x1p23f)), x));
    bits = vi_add(bits, vi_sub(one, root_half));
    vf e = vf_from_vi(vi_sub(vi_shr(bits, 23), vi_select(denormal, vi_set1(127 + 23), vi_set1(127))));
    vf m = vi_as_vf(vi_add(vi_and(bits, vi_set1(0x7fffff)), root_half));
    // ln(1 + f) = f - f^2/2 + f^3 q(f)
    vf f = vf_sub(m, vf_set1(1.0f)), square = vf_mul(f, f);
    vf q = vf_set1(-0.0763987899f);
    q = vf_fma(q, f, vf_set1(0.127649516f));
    q = vf_fma(q, f, vf_set1(-0.131595612f));
    q = vf_fma(q, f, vf_set1(0.142011404f));
    q = vf_fma(q, f, vf_set1(-0.16623354f));
    q = vf_fma(q, f, vf_set1(0.200012594f));
    q = vf_fma(q, f, vf_set1(-0.250008225f));
    q = vf_fma(q, f, vf_set1(0.333333313f));
    q = vf_fma(q, f, vf_set1(-0.5f));
    vf low = vf_fma(e, vf_set1(-2.12194442e-4f), vf_mul(q, square)); // ln 2 = 0.693359375 - 2.12194442e-4
    vf y = vf_fma(e, vf_set1(0.693359375f), vf_add(f, low));

    const vf infinity = vf_set1(__builtin_inff());
    vf odd = vf_select(vf_lt(x, vf_zero()), vf_set1(__builtin_nanf("")), x); // inf and NaN stay
    odd = vf_select(vf_eq(x, vf_zero()), vf_neg(infinity), odd);
    return vf_select(vm_and(vf_gt(x, vf_zero()), vf_lt(x, infinity)), y, odd);
}

// Sine and cosine of 2 pi u, 0 <= u <= 1. Absolute error below 8e-8, 1.6 ulp.
SHK_INLINE void vf_sincos2pi(vf u, vf *sine, vf *cosine) {
    // u = quadrant/4 + r, |r| <= 1/8, both exact
    const vf magic = vf_set1(0x1.8p23f);
    vf shifted = vf_fma(u, vf_set1(4.0f), magic);
    vf r = vf_fnma(vf_sub(shifted, magic), vf_set1(0.25f), u), square = vf_mul(r, r);
    vi quadrant = vf_as_vi(shifted);
    vf s = vf_set1(-76.7749481f);
    s = vf_fma(s, square, vf_set1(81.6256256f));
    s = vf_fma(s, square, vf_set1(-41.3418655f));
    s = vf_fma(s, square, vf_set1(6.28318548f));
    s = vf_mul(s, r);
    vf c = vf_set1(58.5611687f);
    c = vf_fma(c, square, vf_set1(-85.4231186f));
    c = vf_fma(c, square, vf_set1(64.9391403f));
    c = vf_fma(c, square, vf_set1(-19.7392082f));
    c = vf_fma(c, square, vf_set1(1.0f));
    // an odd quadrant swaps them; quadrants 2, 3 negate the sine, 1 and 2 the cosine
    vm swap = vi_eq(vi_and(quadrant, vi_set1(1)), vi_set1(1));
    vi negative_sine = vi_shl(vi_and(quadrant, vi_set1(2)), 30);
    vi negative_cosine = vi_shl(vi_and(vi_add(quadrant, vi_set1(1)), vi_set1(2)), 30);
    *sine = vi_as_vf(vi_xor(vf_as_vi(vf_select(swap, c, s)), negative_sine));
    *cosine = vi_as_vf(vi_xor(vf_as_vi(vf_select(swap, s, c)), negative_cosine));
}

#endif
