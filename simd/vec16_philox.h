// SPDX-License-Identifier: MIT
// This computes Philox4x32 (random.h), sixteen blocks at a time, and the keep masks that dropout draws from it.
#ifndef SHK_SIMD_VEC16_PHILOX_H
#define SHK_SIMD_VEC16_PHILOX_H

#include "kernel.h"

// out[w] = word w of the stream's blocks with these numbers, a block a lane. `rounds` is a constant at every call.
SHK_INLINE void shk_philox16(const struct shk_stream *s, vi blocks, int rounds, vi out[4]) {
    const vi m0 = vi_set1(0xD2511F53u), m1 = vi_set1(0xCD9E8D57u);
    vi c0 = blocks, c1 = vi_set1(s->stream[0]);
    vi c2 = vi_set1(s->stream[1]), c3 = vi_set1(s->stream[2]);
    uint32_t k0 = s->key[0], k1 = s->key[1];
    for (int round = 0; round < rounds; round++) {
        vi hi0 = vi_mulhi(m0, c0), lo0 = vi_mullo(m0, c0);
        vi hi1 = vi_mulhi(m1, c2), lo1 = vi_mullo(m1, c2);
        c0 = vi_xor(vi_xor(hi1, c1), vi_set1(k0));
        c1 = lo1;
        c2 = vi_xor(vi_xor(hi0, c3), vi_set1(k1));
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

// The blocks first .. first + 15.
SHK_INLINE vi shk_philox_from(uint32_t first) { return vi_add(vi_set1(first), vi_iota()); }

// The random words of the elements 128 * block .. 128 * block + 127.
SHK_INLINE void shk_dropout_words(const struct shk_dropout_spec *spec, uint32_t block, vi words[4]) {
    shk_philox16(&spec->stream, shk_philox_from(16 * block), 7, words);
}

// Which of the elements 128 * block + 16j .. + 15 stay, from that block's words; j in 0..7.
SHK_INLINE vm shk_dropout_keep(const struct shk_dropout_spec *spec, const vi words[4], int j) {
    vi word = words[j / 2], half = j % 2 ? vi_shr(word, 16) : vi_and(word, vi_set1(0xffff));
    return vm_not(vi_lt(half, vi_set1(spec->threshold)));
}

#endif
