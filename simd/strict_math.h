// SPDX-License-Identifier: MIT
// This header refuses flags that let a compiler compute something else than what is written: NaN and infinity are tested
// for, signs of zeros are kept, and sums have one order. clang tells of -ffast-math, -Ofast and -ffinite-math-only alone.
#ifndef SHK_SIMD_STRICT_MATH_H
#define SHK_SIMD_STRICT_MATH_H

#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__ || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__)
#error "Shikaku's results need IEEE arithmetic: compile without -ffast-math, -Ofast and what they turn on"
#endif

#endif
