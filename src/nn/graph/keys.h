// SPDX-License-Identifier: MIT
// The keys of a short form, `key=value,key=value`, are read one by one.
#ifndef SHK_NN_GRAPH_KEYS_H
#define SHK_NN_GRAPH_KEYS_H

#include "base/error.h"
#include <stddef.h>

// Cuts `keys` in place and hands each to `read`. A key may stand once. False, in one sentence.
typedef bool shk_read_key(const char *key, const char *value, void *into, struct shk_error *);
bool shk_keys_read(char *keys, shk_read_key *read, void *into, struct shk_error *);

// A whole number lo..hi; what stands behind it is at *rest, or nothing may.
bool shk_key_number(const char *key, const char *text, const char **rest, size_t lo, size_t hi, size_t *out,
                    struct shk_error *);
bool shk_key_size(const char *key, const char *text, size_t lo, size_t hi, size_t *out, struct shk_error *);

// "; did you mean dim?", or nothing. `words` ends with NULL.
const char *shk_key_hint(const char *typed, const char *const *words, char text[64]);

#endif
