// SPDX-License-Identifier: MIT
// Lines for people are appended here, with the time.
#include "report/log.h"

#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct log {
    FILE *file;
};

struct log *log_open(const char *path) {
    struct log *log = malloc(sizeof *log);
    if (!log) return NULL;
    log->file = fopen(path, "ae");
    if (log->file) return log;
    free(log);
    return NULL;
}

bool log_line(struct log *log, const char *format, ...) {
    if (!log) return false;
    char when[32], text[2048], shown[sizeof text];
    struct tm utc;
    const time_t now = time(NULL);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    shk_show(text, strlen(text), "", shown, sizeof shown);
    fprintf(log->file, "%s %s\n", when, shown);
    fflush(log->file);
    return !ferror(log->file);
}

void log_close(struct log *log) {
    if (!log) return;
    fclose(log->file);
    free(log);
}
