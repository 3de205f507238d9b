// SPDX-License-Identifier: MIT
// Talks to a program that serves its benchmarks: a line is a request, a line the answer.
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

struct contender {
    char *program;
    pid_t process;
    FILE *to, *from;
    json_t *facts;
};

static _Noreturn void die(const struct contender *c, const char *what) {
    cli_die(CLI_FAILED, "%s %s", c->program, what);
}

// The ends that this program does not use close where the other one starts.
static void open_pipes(int to[2], int from[2]) {
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        cli_die(CLI_FAILED, "no pipe can be made: %s", strerror(errno));
}

static void spawn(struct contender *c, char **arguments, int to, int from) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    int why = posix_spawn_file_actions_init(&actions);
    if (!why) why = posix_spawn_file_actions_adddup2(&actions, to, STDIN_FILENO);
    if (!why) why = posix_spawn_file_actions_adddup2(&actions, from, STDOUT_FILENO);
    if (!why) why = posix_spawn(&c->process, c->program, &actions, NULL, arguments, environ);
    if (why) cli_die(CLI_USAGE, "%s cannot be started: %s", c->program, strerror(why));
    posix_spawn_file_actions_destroy(&actions);
}

static char **line_of(const struct contender *c, char *const *more) {
    size_t count = 0;
    while (more[count]) count++;
    char **all = calloc(count + 4, sizeof *all);
    if (!all) cli_die(CLI_FAILED, "out of memory");
    all[0] = c->program;
    all[1] = "bench";
    all[2] = "--serve";
    memcpy(all + 3, more, count * sizeof *more);
    return all;
}

static char *read_line(const struct contender *c) {
    char *line = NULL;
    size_t size = 0;
    if (getline(&line, &size, c->from) <= 0) die(c, "has ended, or serves no benchmarks");
    return line;
}

static void read_facts(struct contender *c) {
    json_error_t why;
    char *line = read_line(c);
    c->facts = shk_json_read(line, strlen(line), &why);
    free(line);
    if (!json_is_object(c->facts) || !json_is_object(json_object_get(c->facts, "context")) ||
        !json_is_array(json_object_get(c->facts, "benchmarks")))
        die(c, "does not say what it measures");
}

struct contender *contender_start(const char *program, char *const *arguments) {
    int to[2], from[2];
    struct contender *c = calloc(1, sizeof *c);
    if (!c || !(c->program = strdup(program))) cli_die(CLI_FAILED, "out of memory");
    open_pipes(to, from);
    char **line = line_of(c, arguments);
    spawn(c, line, to[0], from[1]);
    free(line);
    close(to[0]);
    close(from[1]);
    c->to = fdopen(to[1], "w");
    c->from = fdopen(from[0], "r");
    if (!c->to || !c->from) cli_die(CLI_FAILED, "out of memory");
    return c;
}

const json_t *contender_facts(struct contender *c) {
    if (!c->facts) read_facts(c);
    return c->facts;
}

struct timing contender_run(struct contender *c, size_t index, size_t steps) {
    struct timing t = {0, 0};
    if (fprintf(c->to, "%zu %zu\n", index, steps) < 0 || fflush(c->to) != 0) die(c, "has ended");
    char *line = read_line(c), *rest = line, *first = strsep(&rest, " \n"), *second = strsep(&rest, " \n");
    if (!shk_read_real(first, &t.seconds) || !second || !shk_read_real(second, &t.cpu_seconds) || !(t.seconds > 0) ||
        !(t.cpu_seconds > 0))
        die(c, "does not say how long its steps took");
    free(line);
    return t;
}

void contender_stop(struct contender *c) {
    fclose(c->to);
    fclose(c->from);
    waitpid(c->process, NULL, 0);
    json_decref(c->facts);
    free(c->program);
    free(c);
}
