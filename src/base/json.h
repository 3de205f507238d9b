// SPDX-License-Identifier: MIT
// JSON as files have it, whatever the caller's locale and rounding mode: it is read and written here alone. Only for what is
// linked with jansson; the core is not.
#ifndef SHK_BASE_JSON_H
#define SHK_BASE_JSON_H

#include <jansson.h>
#include <math.h>

// JSON knows no infinity and no NaN; NULL: no memory.
static inline json_t *shk_json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

// The value as text, to be freed, with numbers as shk_real_text has them; NULL: no memory, or no array or object.
char *shk_json_text(const json_t *json, size_t flags);
// The value of the text, to be released; an object that has a name twice is refused. NULL: *why says it.
json_t *shk_json_read(const char *text, size_t length, json_error_t *why);
json_t *shk_json_read_file(const char *path, json_error_t *why);

#endif
