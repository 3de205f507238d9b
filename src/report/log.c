// SPDX-License-Identifier: MIT
// Lines for people are appended here, with the time.
#include "report/log.h"

#include "base/error.h"
#include "base/text.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct log {
    FILE *file;
};

struct log *log_open(const struct folder *f, struct shk_error *err) {
    const int handle = folder_open_file(f, FOLDER_LOG, O_WRONLY | O_APPEND | O_CREAT, err);
    if (handle < 0) return NULL;
    struct log *log = malloc(sizeof *log);
    if (log) log->file = fdopen(handle, "a");
    if (log && log->file) return log;
    shk_fail(err, SHK_FAILED, "out of memory for %.250s", f->path[FOLDER_LOG]);
    close(handle);
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
