// SPDX-License-Identifier: MIT
// This recognises what OpenMP's environment variables may hold: blanks around any part, words in any case.
#include "machine/variables.h"

#include "base/error.h"
#include "machine/cpulist.h"
#include <hwloc.h>
#include <limits.h>
#include <shikaku/machine.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Kernels run in less than 32 KiB of stack; sanitizers and the runtime itself take more.
enum { LEAST_STACK = 256 << 10 };

// ---- Parts: each moves *at behind itself and the blanks that follow, or returns false ----

static const char *past_blanks(const char *text) { return text + strspn(text, " \t\n\v\f\r"); }

static bool sign(const char **at, char c) {
    if (**at != c) return false;
    *at = past_blanks(*at + 1);
    return true;
}

static bool whole(const char **at, uint64_t least, uint64_t most, uint64_t *out) {
    uint64_t value = 0;
    const char *digit = *at;
    for (; *digit >= '0' && *digit <= '9' && value <= most; digit++) value = value * 10 + (uint64_t)(*digit - '0');
    if (digit == *at || value < least || value > most) return false;
    *at = past_blanks(digit);
    *out = value;
    return true;
}

// One of the words, which NULL ends.
static bool word(const char **at, const char *const *words) {
    const size_t length = strspn(*at, "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (; *words; words++) {
        if (strlen(*words) != length || strncasecmp(*at, *words, length) != 0) continue;
        *at = past_blanks(*at + length);
        return true;
    }
    return false;
}

// How often an interval repeats, and how far apart: ":4" or ":4:-2"; nothing is right, too.
static bool repeats(const char **at) {
    uint64_t value;
    if (!sign(at, ':')) return true;
    if (!whole(at, 1, INT_MAX, &value)) return false;
    if (!sign(at, ':')) return true;
    sign(at, '-');
    return whole(at, 0, INT_MAX, &value);
}

// CPUs of a place: "0:2", "!3". `named` (or NULL) gets the first of them.
static bool cpus(const char **at, hwloc_bitmap_t named) {
    uint64_t first;
    const bool without = sign(at, '!');
    if (!whole(at, 0, SHK_MAX_CPU_NUMBER, &first) || !repeats(at)) return false;
    return without || !named || hwloc_bitmap_set(named, (unsigned)first) == 0;
}

static bool place(const char **at, hwloc_bitmap_t named) {
    if (sign(at, '!')) named = NULL;
    if (!sign(at, '{')) return cpus(at, named);
    do
        if (!cpus(at, named)) return false;
    while (sign(at, ','));
    return sign(at, '}') && repeats(at);
}

// ---- Values ----

static bool is_thread_list(const char *at) {
    uint64_t value, most = SHK_MAX_THREADS; // of the first; the others are for nested regions
    do {
        if (!whole(&at, 1, most, &value)) return false;
        most = INT_MAX;
    } while (sign(&at, ','));
    return !*at;
}

static bool is_limit(const char *at) {
    uint64_t value;
    return whole(&at, 1, INT_MAX, &value) && !*at;
}

static bool is_level(const char *at) {
    uint64_t value;
    return whole(&at, 0, INT_MAX, &value) && !*at;
}

static const char *const truths[] = {"true", "false", NULL};

static bool is_truth(const char *at) { return word(&at, truths) && !*at; }

static bool is_binding(const char *at) {
    static const char *const words[] = {"primary", "master", "close", "spread", NULL};
    if (word(&at, truths)) return !*at;
    do
        if (!word(&at, words)) return false;
    while (sign(&at, ','));
    return !*at;
}

static bool places(const char *at, hwloc_bitmap_t named) {
    static const char *const words[] = {"threads", "cores", "sockets", "ll_caches", "numa_domains", NULL};
    uint64_t value;
    if (word(&at, words)) return (!sign(&at, '(') || (whole(&at, 1, INT_MAX, &value) && sign(&at, ')'))) && !*at;
    do
        if (!place(&at, named)) return false;
    while (sign(&at, ','));
    return !*at;
}
static bool is_place_list(const char *at) { return places(at, NULL); }

// GCC's: "0 3 1-2 4-15:2". `named` (or NULL) gets the CPUs.
static bool affinity(const char *at, hwloc_bitmap_t named) {
    do {
        uint64_t first, last, stride = 1;
        if (!whole(&at, 0, SHK_MAX_CPU_NUMBER, &first)) return false;
        last = first;
        if (sign(&at, '-') && !whole(&at, first, SHK_MAX_CPU_NUMBER, &last)) return false;
        if (last > first && sign(&at, ':') && !whole(&at, 1, INT_MAX, &stride)) return false;
        for (uint64_t cpu = first; named && cpu <= last; cpu += stride) hwloc_bitmap_set(named, (unsigned)cpu);
    } while (sign(&at, ',') || *at);
    return true;
}
static bool is_affinity(const char *at) { return affinity(at, NULL); }

static bool is_policy(const char *at) {
    static const char *const words[] = {"active", "passive", NULL};
    return word(&at, words) && !*at;
}

// In KiB where no unit is named. 0: none of a size that can be.
static size_t stack_size(const char *at) {
    static const char units[] = "bkmg";
    uint64_t value;
    if (!whole(&at, 1, SIZE_MAX >> 30, &value)) return 0;
    const char *unit = *at ? strchr(units, *at | 32) : units + 1;
    if (!unit || *past_blanks(at + (*at != 0))) return 0;
    return (size_t)(value << 10 * (unit - units));
}

static bool is_stack(const char *at) { return stack_size(at) >= LEAST_STACK; }

// ---- Variables ----

static const struct {
    const char *name;
    bool (*fits)(const char *);
    const char *right;
} variables[] = {
    {"OMP_NUM_THREADS", is_thread_list, "a number of threads is 1 to 1024"},
    {"OMP_THREAD_LIMIT", is_limit, "a limit of threads is a whole number from 1"},
    {"OMP_MAX_ACTIVE_LEVELS", is_level, "levels of nested regions are a whole number from 0"},
    {"OMP_DYNAMIC", is_truth, "it is true or false"},
    {"OMP_PROC_BIND", is_binding, "a binding is true, false, or primary, master, close, spread with commas between"},
    {"OMP_PLACES", is_place_list,
     "places are threads, cores, sockets, ll_caches, numa_domains, or CPUs as in {0},{1} or {0:2}:4"},
    {"GOMP_CPU_AFFINITY", is_affinity, "CPUs are written as in 0 3 4-7 or 0-6:2"},
    {"OMP_WAIT_POLICY", is_policy, "it is active or passive"},
    {"OMP_STACKSIZE", is_stack, "a thread's stack is a size from 256k, as in 512k, 4m"},
    {"GOMP_STACKSIZE", is_stack, "a thread's stack is a size from 256k, as in 512k, 4m"},
};
_Static_assert(SHK_MAX_THREADS == 1024 && LEAST_STACK == 256 << 10, "the sentences above say these");

const char *shk_variable(const char *name) {
    const char *text = getenv(name);
    if (text) text = past_blanks(text);
    return text && *text ? text : NULL;
}

bool shk_variables_check(struct shk_error *err) {
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *text = shk_variable(variables[i].name);
        if (text && !variables[i].fits(text))
            return shk_fail(err, SHK_BAD_INPUT, "%s is '%.100s', but %s", variables[i].name, text, variables[i].right);
    }
    return true;
}

unsigned shk_variables_threads(void) {
    const char *text = shk_variable("OMP_NUM_THREADS");
    uint64_t value;
    return text && whole(&text, 1, SHK_MAX_THREADS, &value) ? (unsigned)value : 0;
}

size_t shk_variables_stack(void) {
    const char *text = shk_variable("OMP_STACKSIZE");
    if (!text) text = shk_variable("GOMP_STACKSIZE");
    return text ? stack_size(text) : 0;
}

bool shk_variables_unbound(void) {
    static const char *const words[] = {"false", NULL};
    const char *text = shk_variable("OMP_PROC_BIND");
    return text && word(&text, words);
}

static bool names_allowed(const char *name, hwloc_const_bitmap_t named, bool all, hwloc_const_bitmap_t allowed,
                          struct shk_error *err) {
    if (hwloc_bitmap_iszero(named)) return true;
    if (all ? hwloc_bitmap_isincluded(named, allowed) : hwloc_bitmap_intersects(named, allowed)) return true;
    int first = hwloc_bitmap_first(named);
    while (hwloc_bitmap_isset(allowed, (unsigned)first)) first = hwloc_bitmap_next(named, first);
    char list[128];
    hwloc_bitmap_list_snprintf(list, sizeof list, allowed);
    return shk_fail(err, SHK_BAD_INPUT, "%s is '%.100s', which names CPU %d, but this process may use CPUs %s alone",
                    name, shk_variable(name), first, list);
}

bool shk_variables_check_cpus(hwloc_const_bitmap_t allowed, struct shk_error *err) {
    const char *listed = shk_variable("GOMP_CPU_AFFINITY"), *placed = shk_variable("OMP_PLACES");
    hwloc_bitmap_t named = hwloc_bitmap_alloc();
    if (!named) return shk_fail(err, SHK_FAILED, "out of memory for the CPUs that OpenMP's variables name");
    bool ok = true;
    if (listed && affinity(listed, named)) ok = names_allowed("GOMP_CPU_AFFINITY", named, true, allowed, err);
    hwloc_bitmap_zero(named);
    if (ok && placed && places(placed, named)) ok = names_allowed("OMP_PLACES", named, false, allowed, err);
    hwloc_bitmap_free(named);
    return ok;
}
