// SPDX-License-Identifier: MIT
// A described machine is measured and tried out before hwloc has it in this process.
#include "machine/described.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_XML = 16 << 20, MOST_SECONDS = 5 };

// The number behind a level's colon, "core:8", or of a level without name; 1: there is none. *at moves behind the level.
static unsigned long level(const char **at) {
    unsigned long value = 0;
    const char *p = *at, *colon;
    if (*p == '[') { // memory, which is no level
        *at = p + strcspn(p, "]") + (strchr(p, ']') != NULL);
        return 1;
    }
    size_t length = strcspn(p, " (");
    colon = memchr(p, ':', length);
    if (colon) p = colon + 1;
    for (; *p >= '0' && *p <= '9' && value <= SHK_MAX_DESCRIBED_CPUS; p++) value = value * 10 + (unsigned)(*p - '0');
    *at += length;
    if (**at == '(') *at += strcspn(*at, ")") + (strchr(*at, ')') != NULL);
    return value ? value : 1;
}

bool shk_described_size(const char *synthetic, struct shk_error *err) {
    unsigned long objects = 1;
    for (const char *at = synthetic; *(at += strspn(at, " "));) {
        if (*at == '(' || *at == ')' || *at == ']') { // of the whole machine, or a slip
            at += *at == '(' && strchr(at, ')') ? strcspn(at, ")") + 1 : 1;
            continue;
        }
        objects *= level(&at);
        if (objects > SHK_MAX_DESCRIBED_CPUS)
            return shk_fail(err, SHK_BAD_INPUT,
                            "'%.200s' describes a machine of more than %d CPUs, which is the most: use smaller numbers",
                            synthetic, SHK_MAX_DESCRIBED_CPUS);
    }
    return true;
}

char *shk_described_read(const char *path, size_t *size, struct shk_error *err) {
    FILE *file = fopen(path, "re");
    if (!file) {
        shk_fail(err, SHK_BAD_INPUT, "%.200s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    char *text = shk_alloc(MOST_XML, 1, "a machine's file", err);
    bool ok = text != NULL;
    *size = ok ? fread(text, 1, MOST_XML, file) + 1 : 0;
    if (ok && ferror(file)) ok = shk_fail(err, SHK_BAD_INPUT, "%.200s cannot be read: %s", path, strerror(errno));
    if (ok && *size > MOST_XML)
        ok = shk_fail(err, SHK_BAD_INPUT, "%.200s holds no machine: it is longer than %d MiB", path, MOST_XML >> 20);
    fclose(file);
    if (ok) return text;
    shk_free(text);
    return NULL;
}

// In the child: what hwloc prints it will print in the parent, too, and a crash leaves nothing behind.
static void prepare(void) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) signal(fatal[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU, &(struct rlimit){MOST_SECONDS, MOST_SECONDS});
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing >= 0) dup2(nothing, STDERR_FILENO);
}

struct verdict {
    bool done;
    struct shk_error error;
};
_Static_assert(sizeof(struct verdict) <= PIPE_BUF, "a pipe takes a verdict whole or not at all");

static _Noreturn void be_child(int out, bool (*work)(void *, struct shk_error *), void *arg) {
    struct verdict v = {0};
    prepare();
    v.done = work(arg, &v.error);
    _exit(write(out, &v, sizeof v) != sizeof v);
}

bool shk_described_try(const char *source, bool (*work)(void *, struct shk_error *), void *arg, struct shk_error *err) {
    int ends[2];
    struct verdict v;
    ssize_t got;
    if (pipe2(ends, O_CLOEXEC)) return shk_fail(err, SHK_FAILED, "no pipe can be had: %s", strerror(errno));
    const pid_t child = fork();
    const int fork_error = errno;
    if (child == 0) be_child(ends[1], work, arg);
    close(ends[1]);
    do got = child > 0 ? read(ends[0], &v, sizeof v) : 0;
    while (got < 0 && errno == EINTR);
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    if (child < 0) return shk_fail(err, SHK_FAILED, "no process can be had: %s", strerror(fork_error));
    if (got != sizeof v)
        return shk_fail(err, SHK_BAD_INPUT, "hwloc breaks down over %.200s: write a whole machine with lstopo FILE.xml",
                        source);
    return v.done || shk_fail(err, v.error.code, "%s", v.error.text);
}
