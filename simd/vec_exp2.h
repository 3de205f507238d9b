// SPDX-License-Identifier: MIT
// This is 2^x in lanes of either height. vec8.h includes it for each type of vector: VEC is the type, V(op) its
// operation (vec8.h).

// x = n + f with a whole n and |f| <= 1/2, exact for |x| < 2^22. Returns n in its low bits, for add_exponent.
SHK_INLINE VEC V(split)(VEC x, VEC *f) {
    const VEC magic = V(set1)(0x1.8p23f), shifted = V(add)(x, magic);
    *f = V(sub)(x, V(sub)(shifted, magic));
    return shifted;
}

// x[i] = 2^x[i] for weights of a softmax, whose largest is 1: x at most 0 but for rounding, and everything below -64 is
// taken as -64, too small to matter in a sum with 1 and far from denormal. Relative error below 1.6e-7; a NaN that
// arithmetic made gives NaN.
SHK_INLINE void V(exp2_weights)(const int n, VEC *x) {
    static const float c[6] = {1.0f, 0.693147004f, 0.240222469f, 0.0555071086f, 0.00967129413f, 0.00132696098f};
    VEC whole[2], f[2];
    SHK_UNROLL
    for (int i = 0; i < n; i++) x[i] = V(max)(V(set1)(-64.0f), x[i]);
    SHK_UNROLL
    for (int i = 0; i < n; i++) whole[i] = V(split)(x[i], &f[i]);
    SHK_UNROLL
    for (int i = 0; i < n; i++) x[i] = V(set1)(c[5]);
    SHK_UNROLL
    for (int power = 4; power >= 0; power--) {
        SHK_UNROLL
        for (int i = 0; i < n; i++) x[i] = V(fma)(x[i], f[i], V(set1)(c[power]));
    }
    SHK_UNROLL
    for (int i = 0; i < n; i++) x[i] = V(add_exponent)(x[i], whole[i]);
}
