// SPDX-License-Identifier: MIT
// Precedence: option, own variable, OMP_NUM_THREADS, automatic.
#include "machine/settings.h"

#include "base/error.h"
#include "base/text.h"
#include "machine/cpulist.h"
#include "machine/variables.h"
#include <hwloc.h>
#include <stdlib.h>
#include <string.h>

// 0 in *out: not set.
static bool read_threads(unsigned *out, struct shk_error *err) {
    const char *text = getenv("SHIKAKU_THREADS");
    uint64_t value = 0;
    if (text && (!shk_typed_whole(text, &value) || value < 1 || value > SHK_MAX_THREADS))
        return shk_fail(err, SHK_BAD_INPUT, "SHIKAKU_THREADS is '%.100s', but a number of threads is 1 to %d", text,
                        SHK_MAX_THREADS);
    *out = (unsigned)value;
    return true;
}

bool shk_environment_check(struct shk_error *err) {
    unsigned threads;
    return read_threads(&threads, err) && shk_variables_check(err);
}

static bool read_pin(const char *text, const char *source, struct shk_policy_settings *s, struct shk_error *err) {
    static const char *const names[] = {"auto", "cores", "compact", "scatter", "none"};
    s->pin_source = source;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        s->pin = (enum shk_pin)i;
        if (strcmp(text, names[i]) == 0) return true;
    }
    s->pin = SHK_PIN_LIST;
    if (shk_cpulist_parse(text, s->list, SHK_MAX_THREADS, &s->list_count)) return true;
    return shk_fail(
        err, SHK_BAD_INPUT,
        "%s is '%.100s', which is no pinning: use auto, cores, compact, scatter, none, or CPUs as in 0-3,8, each once",
        source, text);
}

bool shk_settings_read(const struct shk_machine *m, const struct shk_choice_options *o, struct shk_policy_settings *s,
                       struct shk_error *err) {
    *s = (struct shk_policy_settings){.tasks = o->tasks, .pin_source = "the default"};
    if (o->threads > SHK_MAX_THREADS)
        return shk_fail(err, SHK_BAD_INPUT, "%u threads asked for, but a number of threads is 1 to %d", o->threads,
                        SHK_MAX_THREADS);
    unsigned own = 0, omp = 0;
    if (m->info.here) {
        const char *pin = getenv("SHIKAKU_PIN");
        if (!read_threads(&own, err) || !shk_variables_check(err) ||
            !shk_variables_check_cpus(hwloc_topology_get_allowed_cpuset(m->topology), err))
            return false;
        omp = shk_variables_threads();
        if (pin && !read_pin(pin, "SHIKAKU_PIN", s, err)) return false;
        shk_openmp_read(&s->openmp);
    }
    s->threads = o->threads ? o->threads : own ? own : omp;
    s->threads_source = o->threads ? NULL : own ? "SHIKAKU_THREADS" : "OMP_NUM_THREADS";
    return !o->pin || read_pin(o->pin, "the pin option", s, err);
}

bool shk_machine_choose(const struct shk_machine *m, const struct shk_choice_options *options, struct shk_choice *out,
                        struct shk_error *err) {
    static const struct shk_choice_options none;
    struct shk_policy_settings settings;
    return shk_settings_read(m, options ? options : &none, &settings, err) && shk_policy_choose(m, &settings, out, err);
}
