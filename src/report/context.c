// SPDX-License-Identifier: MIT
// Makes the context of results: what Google Benchmark says, and what else can make two measurements differ.
#include "report/context.h"

#include "base/json.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static json_t *common(const struct context *c) {
    const struct shk_machine_info *info = shk_machine_info(c->machine);
    char date[40] = "", host[256] = "";
    const time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S%z", &local);
    if (gethostname(host, sizeof host - 1) != 0) host[0] = 0;
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:[], s:[f, f, f], s:s}", "date", date, "host_name", host,
                     "executable", "shikaku", "num_cpus", (int)info->allowed_cpus, "mhz_per_cpu",
                     (int)info->kind[info->kinds - 1].frequency, "cpu_scaling_enabled",
                     *c->conditions->governor && strcmp(c->conditions->governor, "performance") != 0, "caches",
                     "load_avg", c->conditions->load[0], c->conditions->load[1], c->conditions->load[2],
                     "library_build_type", "release");
}

static json_t *program(void) {
    const struct shk_build_facts b = shk_build_facts();
    return json_pack("{s:s, s:i, s:s, s:s, s:s}", "version", shk_version(), "numerics", SHK_NUMERICS_VERSION, "commit",
                     b.commit, "compiler", b.compiler, "flags", b.flags);
}

static json_t *machine(const struct context *c) {
    const struct shk_machine_info *info = shk_machine_info(c->machine);
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:s, s:s, s:I, s:I, s:I}", "cpu", info->cpu_model, "microcode",
                     c->conditions->microcode, "packages", (int)info->packages, "cores", (int)info->cores, "cpus",
                     (int)info->cpus, "quota", info->quota, "governor", c->conditions->governor, "boost",
                     c->conditions->boost, "l1d", (json_int_t)info->l1d, "l2", (json_int_t)info->l2, "l3",
                     (json_int_t)info->l3);
}

static json_t *weather(const struct context *c) {
    return json_pack("{s:f, s:f, s:f, s:f}", "others_share", c->load->share, "held_up", c->load->held_up,
                     "steal_seconds", c->load->stolen, "throttled_seconds", c->conditions->throttled);
}

static json_t *peaks(const struct context *c) {
    if (!c->peaks) return json_object();
    return json_pack("{s:f, s:f}", "peak_gflops", c->peaks->flops * 1e-9, "bandwidth_gb_s", c->peaks->bandwidth * 1e-9);
}

json_t *context_to_json(const struct context *c) {
    json_t *all = common(c), *parts[] = {program(), machine(c), weather(c), peaks(c)};
    bool ok = all && json_object_set_new(all, "data", json_string(c->data)) == 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ok = ok && parts[i] && json_object_update(all, parts[i]) == 0;
        json_decref(parts[i]);
    }
    if (ok) return all;
    json_decref(all);
    return NULL;
}
