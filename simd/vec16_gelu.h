// SPDX-License-Identifier: MIT
// GELU and its derivative on 16 lanes from one exponential and one polynomial.
//
// With a = min(|x|, 8), phi the normal density, Q = 1 - Phi its upper tail and R = Q/phi Mills' ratio, which is smooth:
//   y = max(x, 0) - a*Q(a),    d(a) = 1 - (Q - a*phi),    d(-a) = Q - a*phi.
// R is a polynomial of degree 10, minimax (Remez) on [0, 8] for the weight phi: Q is off by at most 6.6e-8. phi is 2^n
// times a polynomial of degree 5 in [-1/2, 1/2] (relative error 7.5e-8) that has 1/sqrt(2 pi) in its coefficients.
// Rounding included: |error| < 2.5e-7*max(1, |x|). Beyond 8 the tail stays what it is there, 1e-12: small enough, and
// nothing turns denormal. NaN gives NaN.
#ifndef SHK_SIMD_VEC16_GELU_H
#define SHK_SIMD_VEC16_GELU_H

#include "vec16.h"

SHK_INLINE vf vf_gelu(vf x, vf *derivative) {
    const vf a = vf_min(vf_set1(8.0f), vf_abs(x));
    const vf s = vf_mul(a, a);
    // -s/2 * log2(e) = n - f with n an integer: adding 1.5 * 2^23 leaves n in the low bits of the sum.
    const vf magic = vf_set1(0x1.8p23f), half_log2e = vf_set1(0.721347511f);
    const vf shifted = vf_fnma(s, half_log2e, magic);
    const vf f = vf_fma(s, half_log2e, vf_sub(shifted, magic));
    vf p = vf_set1(-0.000529654732f);
    p = vf_fma(p, f, vf_set1(0.00385998259f));
    p = vf_fma(p, f, vf_set1(-0.0221441425f));
    p = vf_fma(p, f, vf_set1(0.0958343893f));
    p = vf_fma(p, f, vf_set1(-0.276525646f));
    p = vf_fma(p, f, vf_set1(0.398942322f));
    const vf phi = vi_as_vf(vi_add(vf_as_vi(p), vi_shl(vf_as_vi(shifted), 23)));
    vf r = vf_set1(4.09002314e-6f);
    r = vf_fma(r, a, vf_set1(-8.82526147e-5f));
    r = vf_fma(r, a, vf_set1(0.000851597171f));
    r = vf_fma(r, a, vf_set1(-0.00494965632f));
    r = vf_fma(r, a, vf_set1(0.0199011061f));
    r = vf_fma(r, a, vf_set1(-0.0609460026f));
    r = vf_fma(r, a, vf_set1(0.153292596f));
    r = vf_fma(r, a, vf_set1(-0.332162857f));
    r = vf_fma(r, a, vf_set1(0.626448512f));
    r = vf_fma(r, a, vf_set1(-0.999985576f));
    r = vf_fma(r, a, vf_set1(1.25331402f));
    const vf q = vf_mul(phi, r);
    const vf d = vf_fnma(a, phi, q);
    *derivative = vf_select(vf_lt(x, vf_zero()), d, vf_sub(vf_set1(1.0f), d));
    return vf_fnma(a, q, vf_max(vf_zero(), x)); // in this order max keeps NaN
}

#endif
