// SPDX-License-Identifier: MIT
// Talks to a program that serves its benchmarks: a line is a request, a line the answer. Starts others for each piece.
#include "cli/contender.h"

#include "base/json.h"
#include "base/text.h"
#include "cli/common.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// What is connected to this program; to NULL: nothing is written to it. The ends that it does not use close where the other starts.
struct ends {
    FILE *to, *from;
    bool writes, quiet; // quiet: what it says on standard error goes nowhere
};

struct contender {
    const struct contestant *of;
    pid_t process; // of one that serves
    struct ends ends;
    json_t *facts;
};

static _Noreturn void die(const struct contestant *c, const char *what) {
    cli_die(CLI_FAILED, "%s %s", c->program, what);
}

// ---- Processes ----

// Ours before the user's for a program that serves; behind them for one of Google Benchmark, where the last of an option counts.
static char **line_of(const struct contestant *c, const char *first, const char *second) {
    const char *ours[] = {first, second};
    size_t count = 0, our_count = second ? 2 : 1;
    while (c->arguments[count]) count++;
    char **all = cli_room(1 + count + our_count + 1, sizeof *all), **at = all + 1 + (c->google ? count : 0);
    all[0] = (char *)(uintptr_t)c->program; // posix_spawn changes none
    for (size_t i = 0; i < our_count; i++) at[i] = (char *)(uintptr_t)ours[i];
    memcpy(all + 1 + (c->google ? 0 : our_count), c->arguments, count * sizeof *all);
    return all;
}

static FILE *opened(int fd, const char *mode) {
    FILE *file = fdopen(fd, mode);
    if (!file) cli_die(CLI_FAILED, "out of memory");
    return file;
}

static pid_t spawn(const struct contestant *c, char **line, struct ends *e) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    int in[2] = {-1, -1}, out[2];
    pid_t process = 0;
    if ((e->writes && pipe2(in, O_CLOEXEC) != 0) || pipe2(out, O_CLOEXEC) != 0)
        cli_die(CLI_FAILED, "no pipe can be made: %s", strerror(errno));
    int why = posix_spawn_file_actions_init(&actions);
    if (!why && e->quiet) why = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!why && e->writes) why = posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    if (!why) why = posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (!why) why = posix_spawn(&process, c->program, &actions, NULL, line, environ);
    if (why) cli_die(CLI_USAGE, "%s cannot be started: %s", c->program, strerror(why));
    posix_spawn_file_actions_destroy(&actions);
    free(line);
    close(out[1]);
    e->from = opened(out[0], "r");
    if (!e->writes) return process;
    close(in[0]);
    e->to = opened(in[1], "w");
    return process;
}

static bool has_failed(pid_t process) {
    int status = 0;
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    return status != 0;
}

// All that a program prints, to be freed; NULL: it failed.
static char *output_of(const struct contestant *c, const char *first, const char *second, bool quiet) {
    enum { MOST = 1 << 26 };
    struct ends e = {.quiet = quiet};
    char *text = NULL;
    size_t size = 0;
    const pid_t process = spawn(c, line_of(c, first, second), &e);
    const ssize_t length = getdelim(&text, &size, 0, e.from);
    fclose(e.from);
    const bool failed = has_failed(process) || length <= 0 || length > MOST;
    if (!failed) return text;
    free(text);
    return NULL;
}

// ---- Programs of Google Benchmark ----

static const char list[] = "--benchmark_list_tests=true";

// All lines are names with a slash.
static bool are_names(const char *text) {
    while (*text) {
        const char *end = strchr(text, '\n'), *slash = strchr(text, '/');
        if (!end || !slash || slash > end) return false;
        text = end + 1;
    }
    return true;
}

// Others say that they do not know the option.
static bool is_google(const char *program) {
    char *names = output_of(&(struct contestant){program, (char *[]){NULL}, false}, list, NULL, true);
    const bool is = names && *names && are_names(names);
    free(names);
    return is;
}

static json_t *google_facts(const struct contestant *c) {
    char *names = output_of(c, list, NULL, false);
    json_t *facts = json_pack("{s:{}, s:[]}", "context", "benchmarks");
    if (!names || !are_names(names)) die(c, "does not list its benchmarks");
    for (char *rest = names, *name; facts && (name = strsep(&rest, "\n"));)
        if (*name && json_array_append_new(json_object_get(facts, "benchmarks"), json_pack("{s:s}", "name", name)) != 0)
            cli_die(CLI_FAILED, "out of memory");
    free(names);
    return facts;
}

// As a regular expression that only this name matches.
static void write_filter(const char *name, char *out, size_t size) {
    size_t at = (size_t)snprintf(out, size, "--benchmark_filter=^");
    for (; *name && at + 4 < size; name++) {
        if (strchr(".[]{}()*+?^$|\\", *name)) out[at++] = '\\';
        out[at++] = *name;
    }
    snprintf(out + at, size - at, "$");
}

// By the counters of bench_train, which are of the median step, where they are there.
static double google_seconds(const json_t *benchmark) {
    static const char *const rates[] = {"cpu_samples_per_second", "median_samples_per_second", "items_per_second"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const double rate = json_number_value(json_object_get(benchmark, rates[i]));
        if (rate > 0) return 1 / rate;
    }
    return json_number_value(json_object_get(benchmark, "real_time"));
}

static double run_google(const struct contender *c, size_t index) {
    char filter[1024];
    json_error_t why;
    const json_t *all = json_object_get(c->facts, "benchmarks");
    const char *name = json_string_value(json_object_get(json_array_get(all, index), "name"));
    write_filter(name, filter, sizeof filter);
    char *text = output_of(c->of, filter, "--benchmark_format=json", false);
    json_t *said = text ? shk_json_read(text, strlen(text), &why) : NULL;
    const json_t *found = json_array_get(json_object_get(said, "benchmarks"), 0);
    const bool failed = json_is_true(json_object_get(found, "error_occurred"));
    const double seconds = failed ? 0 : google_seconds(found);
    if (!(seconds > 0)) cli_die(CLI_FAILED, "%s does not measure %s", c->of->program, name);
    json_decref(said);
    free(text);
    return seconds;
}

// ---- Programs that serve ----

static char *read_line(const struct contender *c) {
    char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, c->ends.from) <= 0) die(c->of, "has ended, or serves no benchmarks");
    return line;
}

static json_t *served_facts(const struct contender *c) {
    json_error_t why;
    char *line = read_line(c);
    json_t *facts = shk_json_read(line, strlen(line), &why);
    free(line);
    if (!json_is_object(facts) || !json_is_object(json_object_get(facts, "context")) ||
        !json_is_array(json_object_get(facts, "benchmarks")))
        die(c->of, "does not say what it measures");
    return facts;
}

static double run_served(const struct contender *c, size_t index, size_t steps) {
    double clock = 0, cpu = 0;
    if (fprintf(c->ends.to, "%zu %zu\n", index, steps) < 0 || fflush(c->ends.to) != 0) die(c->of, "has ended");
    char *line = read_line(c), *rest = line, *first = strsep(&rest, " \n"), *second = strsep(&rest, " \n");
    if (!shk_read_real(first, &clock) || !second || !shk_read_real(second, &cpu) || !(clock > 0) || !(cpu > 0))
        die(c->of, "does not say how long its steps took");
    free(line);
    const json_t *benchmark = json_array_get(json_object_get(c->facts, "benchmarks"), index);
    return json_integer_value(json_object_get(benchmark, "threads")) == 1 ? cpu : clock;
}

// ---- Both ----

struct contestant contestant_of(const char *program, char *const *arguments) {
    struct contestant c = {.program = program, .arguments = arguments};
    c.google = is_google(program);
    return c;
}

char *contestant_measure(const struct contestant *c) {
    char *text =
        c->google ? output_of(c, "--benchmark_format=json", NULL, false) : output_of(c, "bench", "--json=-", false);
    if (!text) die(c, "does not measure its benchmarks");
    return text;
}

struct contender *contender_start(const struct contestant *of) {
    struct contender *c = cli_room(1, sizeof *c);
    c->of = of;
    c->ends.writes = true;
    if (!of->google) c->process = spawn(of, line_of(of, "bench", "--serve"), &c->ends);
    return c;
}

const json_t *contender_facts(struct contender *c) {
    if (!c->facts) c->facts = c->of->google ? google_facts(c->of) : served_facts(c);
    return c->facts;
}

double contender_run(struct contender *c, size_t index, size_t steps) {
    return c->of->google ? run_google(c, index) : run_served(c, index, steps);
}

void contender_stop(struct contender *c) {
    if (c->process) {
        fclose(c->ends.to);
        fclose(c->ends.from);
        has_failed(c->process);
    }
    json_decref(c->facts);
    free(c);
}
