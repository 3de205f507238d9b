// SPDX-License-Identifier: MIT
// This file knows which of the linked kernel tables this CPU can run.
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

extern const struct shk_kernels shk_kernels_c, shk_kernels_avx2, shk_kernels_avx512, shk_kernels_neon;

static bool always(void) { return true; }

#if defined(__x86_64__)
struct features {
    unsigned leaf1_ecx, leaf7_ebx;
    unsigned state; // XCR0: the register state that the OS saves
};

static struct features features(void) {
    struct features f = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    f.leaf1_ecx = c;
    if (c & bit_OSXSAVE) __asm__("xgetbv" : "=a"(f.state), "=d"(d) : "c"(0));
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) f.leaf7_ebx = b;
    return f;
}

static bool offers_avx2(struct features f) {
    const unsigned ymm = 0x6; // XMM and upper YMM
    const unsigned needed = bit_AVX2 | bit_BMI | bit_BMI2;
    return (f.state & ymm) == ymm && (f.leaf1_ecx & bit_FMA) && (f.leaf7_ebx & needed) == needed;
}

static bool has_avx2(void) { return offers_avx2(features()); }

static bool has_avx512(void) {
    const unsigned zmm = 0xe0; // mask registers, upper ZMM0-15, ZMM16-31
    const unsigned needed = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    struct features f = features();
    return offers_avx2(f) && (f.state & zmm) == zmm && (f.leaf7_ebx & needed) == needed;
}
#elif defined(__aarch64__)
static bool has_neon(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMD; }
#endif

// Every name that exists, weakest first; the table is NULL where this build lacks it.
static const struct {
    const char *isa;
    const struct shk_kernels *kernels;
    bool (*runs)(void);
} isas[] = {
    {"c", &shk_kernels_c, always},
#ifdef SHK_HAVE_neon
    {"neon", &shk_kernels_neon, has_neon},
#else
    {"neon", NULL, NULL},
#endif
#ifdef SHK_HAVE_avx2
    {"avx2", &shk_kernels_avx2, has_avx2},
#else
    {"avx2", NULL, NULL},
#endif
#ifdef SHK_HAVE_avx512
    {"avx512", &shk_kernels_avx512, has_avx512},
#else
    {"avx512", NULL, NULL},
#endif
};
static const size_t count = sizeof isas / sizeof isas[0];

// NULL where it is not.
static const struct shk_kernels *usable(size_t i) { return isas[i].kernels && isas[i].runs() ? isas[i].kernels : NULL; }

const struct shk_kernels *shk_kernels_at(size_t index) {
    for (size_t i = 0; i < count; i++)
        if (usable(i) && index-- == 0) return usable(i);
    return NULL;
}

// Each question to the CPU traps into a hypervisor, where there is one: no more are asked than must be.
static const struct shk_kernels *best(void) {
    const struct shk_kernels *k = NULL;
    for (size_t i = count; i-- > 0 && !k;) k = usable(i);
    return k;
}

const struct shk_kernels *shk_kernels_find(const char *isa, bool *exists) {
    *exists = true;
    if (!isa || strcmp(isa, "auto") == 0) return best();
    for (size_t i = 0; i < count; i++)
        if (strcmp(isa, isas[i].isa) == 0) return usable(i);
    *exists = false;
    return NULL;
}
