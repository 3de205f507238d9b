// SPDX-License-Identifier: MIT
// shikaku topo: what was found on this machine, or on a described one, and which threads a training would get.
#include "cli/common.h"

#include "base/json.h"
#include <shikaku/machine.h>
#include <stdlib.h>
#include <string.h>

struct topo_settings {
    struct shk_machine_options machine;
    struct shk_choice_options choice;
    bool json;
};

enum { KEY_JSON = 256, KEY_SYNTHETIC, KEY_XML, KEY_ALLOW, KEY_QUOTA, KEY_THREADS, KEY_PIN, KEY_SHARDS };

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "Print JSON", 0},
    {"threads", KEY_THREADS, "N", 0, "As for 'shikaku train'", 0},
    {"pin", KEY_PIN, "HOW", 0, "This pinning alone, as for 'shikaku train'", 0},
    {"shards", KEY_SHARDS, "N", 0, "Tasks of a step (64)", 0},
    {0, 0, 0, 0, "Another machine:", 1},
    {"synthetic", KEY_SYNTHETIC, "TEXT", 0, "Described in hwloc's words, as \"package:2 core:8 pu:2\"", 1},
    {"xml", KEY_XML, "FILE", 0, "Written by hwloc, as with 'lstopo FILE.xml'", 1},
    {"allow", KEY_ALLOW, "LIST", 0, "These CPUs of it alone, as 0-3,8", 1},
    {"quota", KEY_QUOTA, "X", 0, "Under a cgroup's quota of X CPUs", 1},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct topo_settings *s = state->input;
    switch (key) {
    case KEY_JSON:
        s->json = true;
        return 0;
    case KEY_SYNTHETIC:
        s->machine.synthetic = arg;
        return 0;
    case KEY_XML:
        s->machine.xml = arg;
        return 0;
    case KEY_ALLOW:
        s->machine.allow = arg;
        return 0;
    case KEY_QUOTA:
        s->machine.quota = cli_real("quota", arg, 0, false, 1e6);
        return 0;
    case KEY_THREADS:
        s->choice.threads = (unsigned)cli_whole("threads", arg, 1, SHK_MAX_THREADS);
        return 0;
    case KEY_PIN:
        s->choice.pin = arg;
        return 0;
    case KEY_SHARDS:
        s->choice.tasks = cli_whole("shards", arg, 1, SHK_MAX_SHARDS);
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- Choices: one for --pin, else one for each way ----

enum { MOST_CHOICES = 5 };
static const char *const pins[MOST_CHOICES] = {"auto", "cores", "compact", "scatter", "none"};

struct choices {
    size_t count;
    const char *pin[MOST_CHOICES];
    struct shk_choice *choice; // [count]
};

static struct choices choose(const struct shk_machine *machine, const struct topo_settings *s) {
    struct choices c = {.count = s->choice.pin ? 1 : MOST_CHOICES};
    c.choice = calloc(c.count, sizeof *c.choice);
    if (!c.choice) cli_die(CLI_FAILED, "out of memory");
    for (size_t i = 0; i < c.count; i++) {
        struct shk_choice_options o = s->choice;
        struct shk_error error = {0};
        c.pin[i] = s->choice.pin ? s->choice.pin : pins[i];
        // The environment speaks where auto is only one of all.
        o.pin = s->choice.pin || i > 0 ? c.pin[i] : NULL;
        if (!shk_machine_choose(machine, &o, &c.choice[i], &error)) cli_die_error(&error);
    }
    return c;
}

// ---- JSON ----

static json_t *isas_json(void) {
    json_t *names = json_array();
    for (size_t i = 0; shk_isa_at(i); i++) json_array_append_new(names, json_string(shk_isa_at(i)));
    return names;
}

static json_t *machine_json(const struct shk_machine_info *m) {
    json_t *kinds = json_array();
    for (unsigned k = 0; k < m->kinds; k++) {
        const struct shk_core_kind *kind = &m->kind[k];
        json_array_append_new(kinds, json_pack("{s:i, s:i, s:i, s:s, s:i, s:i}", "cpus", kind->cpus, "cores",
                                               kind->cores, "allowed_cores", kind->allowed_cores, "type", kind->type,
                                               "capacity", kind->capacity, "mhz", kind->frequency));
    }
    json_t *caches =
        json_pack("{s:I, s:I, s:I}", "l1d", (json_int_t)m->l1d, "l2", (json_int_t)m->l2, "l3", (json_int_t)m->l3);
    json_t *quota = m->quota > 0 ? json_real(m->quota) : json_null();
    return json_pack("{s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:s, s:o, s:o}", "this_machine", m->here,
                     "packages", m->packages, "numa_nodes", m->nodes, "l3_groups", m->l3_groups, "cores", m->cores,
                     "cpus", m->cpus, "allowed_cores", m->allowed_cores, "allowed_cpus", m->allowed_cpus,
                     "cgroup_quota", quota, "cgroup_quota_file", m->quota_file, "cache_bytes", caches, "core_kinds",
                     kinds);
}

static json_t *cpus_json(const struct shk_machine *machine) {
    const struct shk_cpu *cpus = shk_machine_cpus(machine);
    json_t *list = json_array();
    for (unsigned i = 0; i < shk_machine_info(machine)->cpus; i++) {
        const struct shk_cpu *c = &cpus[i];
        json_array_append_new(list, json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "cpu", c->number, "core", c->core,
                                              "l3_group", c->l3, "numa_node", c->node, "package", c->package, "kind",
                                              c->kind, "allowed", c->allowed));
    }
    return list;
}

static json_t *choice_json(const char *pin, const struct shk_choice *c) {
    json_t *cpus = json_array(), *warnings = json_array();
    for (unsigned i = 0; c->pinned && i < c->threads; i++) json_array_append_new(cpus, json_integer(c->cpu[i]));
    for (unsigned i = 0; i < c->warnings; i++) json_array_append_new(warnings, json_string(c->warning[i]));
    return json_pack("{s:s, s:i, s:b, s:o, s:b, s:s, s:o}", "pin", pin, "threads", c->threads, "pinned", c->pinned,
                     "cpus", cpus, "polls", c->polls, "line", c->line, "warnings", warnings);
}

static void print_json(const struct shk_machine *machine, const struct choices *c, size_t tasks, const char *isa) {
    json_t *list = json_array();
    for (size_t i = 0; i < c->count; i++) json_array_append_new(list, choice_json(c->pin[i], &c->choice[i]));
    json_t *all = json_pack("{s:o, s:o, s:I, s:o}", "machine", machine_json(shk_machine_info(machine)), "cpus",
                            cpus_json(machine), "tasks", (json_int_t)tasks, "choices", list);
    if (isa)
        json_object_update_new(all, json_pack("{s:o, s:s}", "instruction_sets", isas_json(), "instruction_set", isa));
    char *text = shk_json_text(all, JSON_INDENT(2));
    if (!text) cli_die(CLI_FAILED, "the JSON cannot be made: out of memory, or a name that is no UTF-8");
    cli_print("%s\n", text);
    free(text);
    json_decref(all);
}

// ---- Text ----

static const char *plural(unsigned n) { return n == 1 ? "" : "s"; }

static void print_cache(const char *name, size_t bytes) {
    if (bytes >= 1 << 20) {
        cli_print(" %s %.4g MiB", name, (double)bytes / (1 << 20));
    } else if (bytes) {
        cli_print(" %s %.4g KiB", name, (double)bytes / (1 << 10));
    }
}

static void print_machine(const struct shk_machine_info *m) {
    if (m->cpu_model[0]) cli_print("CPU: %s\n", cli_shown(m->cpu_model).text);
    cli_print("machine: %u package%s, %u NUMA node%s, %u L3 group%s, %u core%s, %u CPU%s%s\n", m->packages,
              plural(m->packages), m->nodes, plural(m->nodes), m->l3_groups, plural(m->l3_groups), m->cores,
              plural(m->cores), m->cpus, plural(m->cpus), m->here ? "" : " (described, not this one)");
    for (unsigned k = m->kinds; m->kinds > 1 && k-- > 0;) {
        const struct shk_core_kind *kind = &m->kind[k];
        cli_print("kind %u: %u core%s%s%s", k, kind->cores, plural(kind->cores), kind->type[0] ? " " : "",
                  cli_shown(kind->type).text);
        if (kind->capacity) cli_print(", capacity %u", kind->capacity);
        if (kind->frequency) cli_print(", %u MHz", kind->frequency);
        cli_print(", %u allowed\n", kind->allowed_cores);
    }
    if (m->l1d || m->l2 || m->l3) {
        cli_print("caches:");
        print_cache("L1d", m->l1d);
        print_cache("L2", m->l2);
        print_cache("L3", m->l3);
        cli_print("\n");
    }
    cli_print("allowed: %u CPU%s on %u core%s\n", m->allowed_cpus, plural(m->allowed_cpus), m->allowed_cores,
              plural(m->allowed_cores));
    if (m->quota > 0) {
        cli_print("cgroup quota: %.4g CPUs%s%s\n", m->quota, m->quota_file[0] ? ", from " : "", m->quota_file);
    } else {
        cli_print("cgroup quota: none\n");
    }
}

static void print_isas(const char *used) {
    cli_print("instruction sets:");
    for (size_t i = 0; shk_isa_at(i); i++) cli_print("%s %s", i ? "," : "", shk_isa_at(i));
    cli_print("; %s is used%s\n", used, getenv("SHIKAKU_ISA") ? ", by SHIKAKU_ISA" : "");
}

static void print_choices(const struct choices *c, size_t tasks) {
    cli_print("\nWith a step of %zu tasks, for each pinning:\n", tasks);
    for (size_t i = 0; i < c->count; i++) {
        const struct shk_choice *choice = &c->choice[i];
        cli_print("%-8s %s; %s\n", c->pin[i], choice->line,
                  choice->polls ? "who waits polls, then sleeps" : "who waits sleeps");
        for (unsigned w = 0; w < choice->warnings; w++) cli_print("         warning: %s\n", choice->warning[w]);
    }
}

int cli_topo(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Prints what was found on this machine, and which threads a training would get and why, for each "
               "pinning, without "
               "training.\vOn another machine than this one, environment variables do not count.",
    };
    struct topo_settings settings = {.choice.tasks = shk_train_shards(NULL)};
    cli_parse(&argp, "shikaku topo", argc, argv, &settings);
    struct shk_error error = {0};
    struct shk_machine *machine = shk_machine_create(&settings.machine, &error);
    if (!machine) cli_die_error(&error);
    struct choices c = choose(machine, &settings);
    const bool here = shk_machine_info(machine)->here;
    const char *isa = here ? shk_isa_choose(NULL, &error) : NULL;
    if (here && !isa) cli_die_error(&error);
    if (settings.json) {
        print_json(machine, &c, settings.choice.tasks, isa);
    } else {
        print_machine(shk_machine_info(machine));
        if (isa) print_isas(isa);
        print_choices(&c, settings.choice.tasks);
    }
    free(c.choice);
    shk_machine_free(machine);
    return cli_finish_output();
}
