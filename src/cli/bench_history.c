// SPDX-License-Identifier: MIT
// shikaku bench history: prints each stored benchmark's course and where it stepped, and draws them on a page.
#include "cli/common.h"
#include "cli/stored.h"
#include "report/page.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct history_settings {
    const char *folder, *page, *filter; // NULL: the usual one; none; all benchmarks
};

enum { KEY_STORE = 256, KEY_PAGE };

static const struct argp_option options[] = {
    {"store", KEY_STORE, "DIR", 0, "Where the store is (shikaku/bench in XDG_DATA_HOME or ~/.local/share)", 0},
    {"page", KEY_PAGE, "FILE", 0, "Also draw the courses, on a page of HTML that needs no other file", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct history_settings *s = state->input;
    switch (key) {
    case KEY_STORE:
        s->folder = arg;
        return 0;
    case KEY_PAGE:
        s->page = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (s->filter) return cli_parse_common(key, arg, state);
        s->filter = arg;
        return 0;
    default:
        return cli_parse_common(key, arg, state);
    }
}

// ---- What is shown ----

static bool keeps(const struct course *c, const void *filter) {
    return !filter || regexec(filter, c->name, 0, NULL, 0) == 0;
}

static void find_changes(const struct history_settings *s, struct courses *all) {
    struct shk_error error = {0};
    regex_t filter;
    char why[200];
    const int wrong = s->filter ? regcomp(&filter, s->filter, REG_EXTENDED | REG_NOSUB) : 0;
    if (wrong) {
        regerror(wrong, &filter, why, sizeof why);
        cli_die(CLI_USAGE, "'%s' is no extended regular expression: %s", s->filter, why);
    }
    if (!courses_find_changes(all, keeps, s->filter ? &filter : NULL, &error)) cli_die_error(&error);
    if (s->filter) regfree(&filter);
}

static void print_point(const struct course *c, size_t i) {
    const struct course_point *p = &c->point[i];
    const struct change *k = course_change_at(c, i);
    char news[COURSE_NEWS];
    course_news(c, i, news);
    cli_print("%c %-24s  %-18s  %-8s  %10.0f  %5.1f%%", k ? '*' : ' ', cli_shown(p->run->date).text,
              cli_shown(p->run->commit).text, cli_shown(p->run->version).text, p->rate,
              100 * (p->high - p->low) / p->rate);
    if (*p->run->name) cli_print("  %s", p->run->name);
    if (k) cli_print("  stepped by %+.1f %% (p %.4f)", 100 * (k->after / k->before - 1), k->probability);
    if (*news) cli_print("  new: %s", news);
    cli_print("\n");
}

static void print_course(const struct course *c) {
    cli_print("%s%s\n", cli_shown(c->name).text, c->by_cpu ? ", by CPU time" : "");
    cli_print("%s; data: %s\n", cli_shown(c->machine).text, cli_shown(c->data).text);
    cli_print("  %-24s  %-18s  %-8s  %10s  %6s\n", "date", "commit", "version", c->samples ? "samples/s" : "steps/s",
              "spread");
    for (size_t i = 0; i < c->count; i++) print_point(c, i);
    cli_print("\n");
}

static void print_sum(const struct courses *all, size_t runs) {
    size_t steps = 0, by_cpu = 0;
    for (size_t i = 0; i < all->count; i++) {
        steps += all->course[i].change_count;
        by_cpu += all->course[i].by_cpu;
    }
    cli_print("%zu runs, %zu benchmarks, %zu of them by CPU time; %zu steps\n", runs, all->count, by_cpu, steps);
}

static void write_page(const char *path, const struct courses *all) {
    struct shk_error error = {0};
    char *text = page_of_courses(all);
    if (!text) cli_die(CLI_FAILED, "out of memory for the page");
    if (!shk_write_file(path, text, strlen(text), &error)) cli_die_error(&error);
    free(text);
}

static void show(const struct history_settings *s, const struct store *store, const char *folder) {
    struct courses all;
    struct shk_error error = {0};
    if (!courses_make(store, &all, &error)) cli_die_error(&error);
    find_changes(s, &all);
    if (!all.count) cli_die(CLI_USAGE, "no benchmark in %s fits '%s'", folder, s->filter);
    for (size_t i = 0; i < all.count; i++) print_course(&all.course[i]);
    print_sum(&all, store->count);
    if (s->page) write_page(s->page, &all);
    courses_free(&all);
}

int cli_bench_history(int argc, char **argv) {
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "[BENCHMARK-FILTER]",
        .doc = "Prints the course of each benchmark through the runs that 'bench --save' has stored, and where it "
               "stepped; the filter is an extended regular expression.",
    };
    struct history_settings s = {0};
    struct store store;
    struct shk_error error = {0};
    cli_parse(&argp, "shikaku bench history", argc, argv, &s);
    char *folder = stored_folder(s.folder);
    if (!store_read(folder, &store, &error)) cli_die_error(&error);
    if (*store.warning) cli_warn("%s", store.warning);
    if (!store.count) cli_die(CLI_USAGE, "%s holds no runs: 'shikaku bench --save' makes one", folder);
    show(&s, &store, folder);
    store_free(&store);
    free(folder);
    return cli_finish_output();
}
