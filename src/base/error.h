// SPDX-License-Identifier: MIT
// Every function that can fail says why through shk_fail.
#ifndef SHK_BASE_ERROR_H
#define SHK_BASE_ERROR_H

#include <shikaku/error.h>
#include <stdbool.h>

// Fills *err (which may be NULL) and returns false, so that `return shk_fail(...)` ends a bool function.
bool shk_fail(struct shk_error *err, enum shk_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
