// SPDX-License-Identifier: MIT
// log.txt: what happened to a run and when, for people.
#ifndef SHK_REPORT_LOG_H
#define SHK_REPORT_LOG_H

#include "report/folder.h"

struct log;
struct log *log_open(const struct folder *, struct shk_error *); // appends; NULL: it cannot be opened
// A line with the time before it; control characters and line breaks are shown as escapes. A log that cannot be written is no reason to end a training: false, now or earlier, and where
// the log is NULL.
bool log_line(struct log *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_close(struct log *); // NULL is allowed

#endif
