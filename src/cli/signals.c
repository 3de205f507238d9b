// SPDX-License-Identifier: MIT
// A signal is remembered here until the step in hand is over.
#include "cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t caught, asked;
static struct timespec first; // when

// One that follows within a tenth of a second is the same one: timeout(1), for example, sends it to the process and to its group.
static void on_end(int signal) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!caught) {
        first = now;
        caught = signal;
    }
    if ((double)(now.tv_sec - first.tv_sec) + 1e-9 * (double)(now.tv_nsec - first.tv_nsec) > 0.1) _exit(128 + signal);
}

static void on_request(int signal) { asked = signal; }

static void catch_all(const int *signals, size_t count, void (*handler)(int)) {
    for (size_t i = 0; i < count; i++) {
        struct sigaction before, action = {.sa_handler = handler, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

void signals_catch(void) { catch_all((const int[]){SIGINT, SIGTERM, SIGHUP}, 3, on_end); }
void signals_catch_requests(void) { catch_all((const int[]){SIGUSR1, SIGUSR2}, 2, on_request); }

int signals_caught(void) { return caught; }

int signals_asked(void) { return asked; }
void signals_answered(void) { asked = 0; }

const char *signals_name(int signal) {
    switch (signal) {
    case SIGINT:
        return "SIGINT";
    case SIGTERM:
        return "SIGTERM";
    case SIGHUP:
        return "SIGHUP";
    case SIGUSR1:
        return "SIGUSR1";
    default:
        return "SIGUSR2";
    }
}
