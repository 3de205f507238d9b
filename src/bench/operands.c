// SPDX-License-Identifier: MIT
// Makes the operands of a kernel, and hashes what it wrote.
#include "bench/operands.h"

#include "base/memory.h"
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void *shk_operands_zeros(struct shk_operands *o, size_t n, size_t size) {
    if (o->failed) return NULL;
    void *block = NULL;
    if (o->blocks == SHK_OPERANDS)
        shk_fail(o->err, SHK_FAILED, "a kernel has at most %d operands", SHK_OPERANDS);
    else
        block = shk_alloc(n, size, "operands of a kernel", o->err);
    o->failed = !block;
    if (block) o->block[o->blocks++] = block;
    return block;
}

float *shk_operands_floats(struct shk_operands *o, size_t n) {
    float *p = shk_operands_zeros(o, n, sizeof *p);
    for (size_t i = 0; p && i < n; i++) { // linear congruential, Knuth's MMIX
        o->random = o->random * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)(int32_t)(o->random >> 32) * 0x1p-31f;
    }
    return p;
}

const void *shk_operands_keep(struct shk_operands *o, const void *what, size_t bytes) {
    void *block = shk_operands_zeros(o, 1, bytes);
    if (block) memcpy(block, what, bytes);
    return block;
}

void *shk_operands_output(struct shk_operands *o, void *first, size_t bytes) {
    if (o->failed) return first;
    if (o->outputs == SHK_OUTPUTS)
        o->failed = !shk_fail(o->err, SHK_FAILED, "a kernel has at most %d outputs", SHK_OUTPUTS);
    else
        o->output[o->outputs++] = (struct shk_output){first, bytes};
    return first;
}

float *shk_operands_result(struct shk_operands *o, size_t n) {
    return shk_operands_output(o, shk_operands_zeros(o, n, sizeof(float)), n * sizeof(float));
}

uint64_t shk_operands_hash(const struct shk_operands *o) {
    uint64_t hash = 0;
    for (size_t i = 0; i < o->outputs; i++) hash = XXH3_64bits_withSeed(o->output[i].first, o->output[i].bytes, hash);
    return hash;
}

void shk_operands_free(struct shk_operands *o) {
    for (size_t i = 0; i < o->blocks; i++) shk_free(o->block[i]);
}
