// SPDX-License-Identifier: MIT
// Compares files of results benchmark by benchmark, by ranks of their repetitions.
#include "cli/compared_files.h"

#include "cli/common.h"
#include "cli/contest.h"
#include "report/agreement.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool compared_is_file(const char *path) {
    FILE *file = fopen(path, "re");
    int first = file ? fgetc(file) : EOF;
    while (first == ' ' || first == '\n' || first == '\r' || first == '\t') first = fgetc(file);
    if (file) fclose(file);
    return first == '{';
}

// ---- What is compared ----

static void read_one(const char *name, char *const *arguments, struct measured *out) {
    struct shk_error error = {0};
    bool ok;
    if (compared_is_file(name)) {
        ok = measured_read(name, out, &error);
    } else {
        const struct contestant program = contestant_of(name, arguments);
        char *text = contestant_measure(&program);
        ok = measured_from_text(text, strlen(text), name, out, &error);
        free(text);
    }
    if (!ok) cli_die_error(&error);
    if (*out->warning) cli_warn("%s", out->warning);
}

static bool compare_one(const struct measured_benchmark *base, const struct measured_benchmark *new,
                        struct comparison *out) {
    const bool by_cpu = base->by_cpu && new->by_cpu;
    return comparison_of_samples(measured_times(base, by_cpu), base->count, measured_times(new, by_cpu), new->count,
                                 out);
}

static void compare(struct compared_files *c, const char *const name[2], bool anyway) {
    char what[AGREEMENT];
    for (size_t i = 0; i < c->of[0].count; i++) {
        const struct measured_benchmark *base = &c->of[0].benchmark[i], *new = measured_find(&c->of[1], base->name);
        if (!new) {
            cli_warn("%s has no benchmark %s, which is left out", name[1], base->name);
            continue;
        }
        contest_must_agree(benchmarks_differ(base, new, what), what, anyway);
        c->name[c->count] = base->name;
        if (!compare_one(base, new, &c->comparison[c->count++])) cli_die(CLI_FAILED, "out of memory");
    }
    if (!c->count) cli_die(CLI_USAGE, "%s and %s have no benchmark in common", name[0], name[1]);
}

// ---- All of it ----

struct compared_files compared_files_open(const char *const name[2], char *const *arguments, double threshold,
                                          bool anyway) {
    struct compared_files c = {.count = 0};
    char what[AGREEMENT];
    for (int i = 0; i < 2; i++) read_one(name[i], arguments, &c.of[i]);
    contest_must_agree(contexts_differ(c.of[0].context, c.of[1].context, what), what, anyway);
    c.name = calloc(c.of[0].count, sizeof *c.name);
    c.comparison = calloc(c.of[0].count, sizeof *c.comparison);
    if (!c.name || !c.comparison) cli_die(CLI_FAILED, "out of memory");
    compare(&c, name, anyway);
    if (!comparisons_judge(c.comparison, c.count, threshold)) cli_die(CLI_FAILED, "out of memory");
    cli_warn("these were measured at different times: what the machine did meanwhile looks like a change, too; two "
             "programs are compared in turns");
    return c;
}

void compared_files_close(struct compared_files *c) {
    for (int i = 0; i < 2; i++) measured_free(&c->of[i]);
    free(c->name);
    free(c->comparison);
}
