// SPDX-License-Identifier: MIT
// Which random numbers are whose: every draw is Philox4x32 of (seed; element block, sample, epoch, purpose and place).
#ifndef SHK_BASE_STREAM_H
#define SHK_BASE_STREAM_H

#include <Random123/philox.h>
#include <kernels.h>

enum shk_purpose {
    SHK_PURPOSE_SQUARES = 1, // sample; epoch = stream (training or test set)
    SHK_PURPOSE_INIT,        // place = parameter
    SHK_PURPOSE_SHUFFLE,     // epoch
    SHK_PURPOSE_DROPOUT,     // sample, epoch, place = layer's site
};

// place < 2^24
static inline struct shk_stream shk_stream_of(uint64_t seed, enum shk_purpose purpose, uint32_t place, uint32_t epoch,
                                              uint32_t sample) {
    return (struct shk_stream){{(uint32_t)seed, (uint32_t)(seed >> 32)},
                               {sample, epoch, (uint32_t)purpose << 24 | place}};
}

// Four words of block `block` of a stream (10 rounds).
static inline void shk_stream_words(const struct shk_stream *s, uint32_t block, uint32_t words[4]) {
    philox4x32_ctr_t counter = {{block, s->stream[0], s->stream[1], s->stream[2]}};
    philox4x32_key_t key = {{s->key[0], s->key[1]}};
    philox4x32_ctr_t out = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) words[i] = out.v[i];
}

// 0 .. n-1 from a random word, by multiplication (bias below n / 2^32).
static inline uint32_t shk_below(uint32_t word, uint32_t n) { return (uint32_t)((uint64_t)word * n >> 32); }

#endif
