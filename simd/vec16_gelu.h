// SPDX-License-Identifier: MIT
// vf_gelu is GELU and its derivative on 16 lanes, from one exponential and one polynomial.
//
// With a = min(|x|, 8), phi the normal density, Q = 1 - Phi its upper tail and R = Q/phi Mills' ratio, which is smooth:
//   y = max(x, 0) - a*Q(a),    derivative = 1/2 +- (1/2 - (Q - a*phi)) with the sign of x.
// R is a polynomial of degree 10, minimax (Remez) on [0, 8] for the weight phi: Q is off by at most 6.6e-8. Its even
// and odd powers are two chains that run side by side. phi is 2^n times a polynomial of degree 5 in [-1/2, 1/2]
// (relative error 7.5e-8) that has 1/sqrt(2 pi) in its coefficients. Rounding included: |error| < 2.5e-7*max(1, |x|).
// Beyond 8 the tail stays what it is there, 1e-12: small enough, and nothing turns denormal. NaN gives NaN. Adds are
// preferred to FMAs, since some CPUs have units for them alone.
#ifndef SHK_SIMD_VEC16_GELU_H
#define SHK_SIMD_VEC16_GELU_H

#include "vec8.h"

SHK_INLINE vf vf_gelu(vf x, vf *derivative) {
    const vf a = vf_min(vf_set1(8.0f), vf_abs(x)), square = vf_mul(a, a);
    // 2^(-a^2/2 * log2(e)) = 2^n 2^f
    vf f;
    const vf n = vf_split(vf_mul(square, vf_set1(-0.721347511f)), &f);
    vf p = vf_set1(0.000529654732f);
    p = vf_fma(p, f, vf_set1(0.00385998259f));
    p = vf_fma(p, f, vf_set1(0.0221441425f));
    p = vf_fma(p, f, vf_set1(0.0958343893f));
    p = vf_fma(p, f, vf_set1(0.276525646f));
    p = vf_fma(p, f, vf_set1(0.398942322f));
    const vf phi = vf_add_exponent(p, n);
    vf even = vf_set1(4.09002314e-6f), odd = vf_set1(-8.82526147e-5f);
    even = vf_fma(even, square, vf_set1(0.000851597171f));
    odd = vf_fma(odd, square, vf_set1(-0.00494965632f));
    even = vf_fma(even, square, vf_set1(0.0199011061f));
    odd = vf_fma(odd, square, vf_set1(-0.0609460026f));
    even = vf_fma(even, square, vf_set1(0.153292596f));
    odd = vf_fma(odd, square, vf_set1(-0.332162857f));
    even = vf_fma(even, square, vf_set1(0.626448512f));
    odd = vf_fma(odd, square, vf_set1(-0.999985576f));
    even = vf_fma(even, square, vf_set1(1.25331402f));
    const vf r = vf_fma(odd, a, even);
    const vf q = vf_mul(phi, r), half = vf_set1(0.5f);
    const vf slope = vf_sub(half, vf_fnma(a, phi, q));
    const vi sign = vi_and(vf_as_vi(x), vi_set1(0x80000000u));
    *derivative = vf_add(half, vi_as_vf(vi_xor(vf_as_vi(slope), sign)));
    return vf_fnma(a, q, vf_max(vf_zero(), x)); // in this order max keeps NaN
}

#endif
