// SPDX-License-Identifier: MIT
// Declares the cases: each is a kernel on a shape that tinycnn or tinyvit gives it.
#ifndef SHK_BENCH_CASES_H
#define SHK_BENCH_CASES_H

#include "bench/operands.h"
#include <kernels.h>

#define KERNEL(name, type) KERNEL_##name,
enum kernel {
    NO_KERNEL,
#include <kernels.def>
    KERNELS
};
#undef KERNEL

struct kernel_case {
    enum kernel kernel;
    enum kernel before; // is called once with the same arguments: fills what `kernel` reads; or NO_KERNEL
    const char *shape;
    double flops, bytes; // of a call; bytes count each operand once; 0: they do not matter
    // Returns the kernel's arguments; NULL: o->failed.
    const void *(*prepare)(struct shk_operands *o, const void *detail);
    const void *detail;
};

// What the models have: samples of a batch; tokens of a sample, their floats, those of a head and of the hidden layer.
enum { SAMPLES = 64, TOKENS = 65, DIM = 64, HEAD = 16, FF = 256 };

// A family of kernels has a list each.
struct kernel_cases {
    const struct kernel_case *all;
    size_t count;
};
extern const struct kernel_cases shk_cases_of_products, shk_cases_of_convolutions, shk_cases_of_attention,
    shk_cases_of_rows, shk_cases_of_weights, shk_cases_of_maps;
#define KERNEL_CASES(array)                                                                                            \
    { array, sizeof(array) / sizeof *(array) }

// A step of Adam on n weights, all of whose outputs are marked.
const struct shk_rule *shk_operands_adam(struct shk_operands *, size_t n);
// With the probability 0.1, or none.
struct shk_dropout_spec shk_dropout_of_case(bool drops);

#endif
