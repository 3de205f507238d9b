// SPDX-License-Identifier: MIT
// Which kernels and how many threads: option, own variable, OMP_NUM_THREADS, automatic.
#include "base/runtime.h"

#include "base/memory.h"
#include "machine/cpus.h"
#include "machine/team.h"
#include <errno.h>
#include <shikaku/shikaku.h>
#include <stdlib.h>
#include <string.h>

static bool choose_isa(const struct shk_runtime_options *o, struct shk_runtime *r, struct shk_error *err) {
    const char *isa = o->isa, *source = "the ISA option";
    if (!isa) {
        isa = getenv("SHIKAKU_ISA");
        source = "SHIKAKU_ISA";
    }
    bool exists = false;
    r->kernels = shk_kernels_find(isa, &exists);
    if (r->kernels) return true;
    if (exists)
        return shk_fail(err, SHK_BAD_INPUT, "%s is '%s', which this CPU or this build does not have: use auto or %s",
                        source, isa, shk_kernels_find(NULL, &exists)->isa);
    return shk_fail(err, SHK_BAD_INPUT, "%s is '%s', which is no instruction set: use auto, c, avx2, avx512 or neon",
                    source, isa);
}

// A thread count from an environment variable; OMP_NUM_THREADS may be a list, of which the first counts. 0 in *out: not
// set.
static bool read_threads(const char *name, bool list, unsigned *out, struct shk_error *err) {
    const char *text = getenv(name);
    *out = 0;
    if (!text) return true;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    bool whole = *text >= '0' && *text <= '9' && (*end == 0 || (list && *end == ','));
    if (!whole || errno || value < 1 || value > SHK_MAX_THREADS)
        return shk_fail(err, SHK_BAD_INPUT, "%s is '%s', but a number of threads is 1 to %d", name, text,
                        SHK_MAX_THREADS);
    *out = (unsigned)value;
    return true;
}

static bool choose_threads(const struct shk_runtime_options *o, struct shk_runtime *r, struct shk_error *err) {
    unsigned own, omp;
    if (o->threads > SHK_MAX_THREADS)
        return shk_fail(err, SHK_BAD_INPUT, "%u threads asked for, but a number of threads is 1 to %d", o->threads,
                        SHK_MAX_THREADS);
    if (!read_threads("SHIKAKU_THREADS", false, &own, err) || !read_threads("OMP_NUM_THREADS", true, &omp, err))
        return false;
    unsigned cpus = shk_allowed_cpus(), threads = cpus;
    r->threads_source = "automatic: CPUs this process may use";
    if (o->threads) {
        threads = o->threads;
        r->threads_source = "option";
    } else if (own) {
        threads = own;
        r->threads_source = "SHIKAKU_THREADS";
    } else if (omp) {
        threads = omp;
        r->threads_source = "OMP_NUM_THREADS";
    }
    if (threads > SHK_MAX_THREADS) threads = SHK_MAX_THREADS;
    shk_team_init(&r->team, threads, cpus);
    return true;
}

struct shk_runtime *shk_runtime_create(const struct shk_runtime_options *options, struct shk_error *err) {
    static const struct shk_runtime_options defaults;
    if (!options) options = &defaults;
    struct shk_runtime *r = shk_alloc(1, sizeof *r, "a runtime", err);
    if (!r) return NULL;
    if (choose_isa(options, r, err) && choose_threads(options, r, err)) return r;
    shk_free(r);
    return NULL;
}

void shk_runtime_free(struct shk_runtime *r) { shk_free(r); }
const char *shk_runtime_isa(const struct shk_runtime *r) { return r->kernels->isa; }
unsigned shk_runtime_threads(const struct shk_runtime *r) { return r->team.workers; }
const char *shk_runtime_threads_source(const struct shk_runtime *r) { return r->threads_source; }
const char *shk_version(void) { return SHK_VERSION; }
