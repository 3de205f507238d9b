// SPDX-License-Identifier: MIT
// random_uniform and random_normal fill memory from a counter-based stream: Philox4x32 (Salmon et al., SC 2011). Block
// b of a stream is philox(counter = {b, stream[0], stream[1], stream[2]}, key).
//
// With 10 rounds, for e < n:
//   word(e) = word e/16 % 4 of block e/64 * 16 + e%16
//   u(e) = ((word(e) >> 9) + 0.5) * 2^-23, exact
//   uniform: out[e] = fma(hi - lo, u(e), lo)
//   normal (Box and Muller 1958), with words 0, 1 of a block, and words 2, 3 likewise:
//       z of word 0 = sqrt(-2 ln u of word 0) * cos(2 pi u of word 1), that of word 1 the same with sin
//       out[e] = fma(deviation, z(e), mean)
#ifndef SHK_SIMD_RANDOM_H
#define SHK_SIMD_RANDOM_H

#include "contract.h"

struct shk_stream {
    uint32_t key[2];    // the seed
    uint32_t stream[3]; // e.g. {sample, epoch, purpose and place}
};

struct shk_random_fill {
    size_t n;   // any
    float *out; // alignment: any
    union {
        float lo, mean;
    };
    union {
        float hi, deviation;
    };
    struct shk_stream stream;
};

#endif
