// SPDX-License-Identifier: MIT
// Compares what two measurements say of their machine, their program and what they computed.
#include "report/agreement.h"

#include "base/json.h"
#include "report/store.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool values_differ(const json_t *a, const json_t *b, const char *what, char out[AGREEMENT]) {
    if (json_equal(a, b) || (!a && !b)) return false;
    char *x = a ? shk_json_text(a, JSON_ENCODE_ANY) : NULL, *y = b ? shk_json_text(b, JSON_ENCODE_ANY) : NULL;
    snprintf(out, AGREEMENT, "%s differ: %.300s and %.300s", what, x ? x : "nothing", y ? y : "nothing");
    free(x);
    free(y);
    return true;
}

static bool machines_differ(const json_t *a, const json_t *b, char out[AGREEMENT]) {
    char x[STORE_MACHINE], y[STORE_MACHINE];
    store_machine(a, x);
    store_machine(b, y);
    if (strcmp(x, y) == 0) return false;
    snprintf(out, AGREEMENT, "machines differ: \"%s\" and \"%s\"", x, y);
    return true;
}

bool contexts_differ(const json_t *a, const json_t *b, char out[AGREEMENT]) {
    static const struct {
        const char *key, *what;
    } facts[] = {{"numerics", "numerics versions"}, {"flags", "flags"}, {"compiler", "compilers"}};
    if (machines_differ(a, b, out)) return true;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (values_differ(json_object_get(a, facts[i].key), json_object_get(b, facts[i].key), facts[i].what, out))
            return true;
    return false;
}

bool benchmarks_differ(const struct measured_benchmark *a, const struct measured_benchmark *b, char out[AGREEMENT]) {
    const bool hashes = a->hashed && b->hashed && a->hashed_steps == b->hashed_steps && a->hash != b->hash;
    if (hashes)
        snprintf(out, AGREEMENT, "the results of the same steps (%s) differ: %016" PRIx64 " and %016" PRIx64, a->name,
                 a->hash, b->hash);
    else if (strcmp(a->placement, b->placement) != 0)
        snprintf(out, AGREEMENT, "the threads' places (%s) differ: \"%.300s\" and \"%.300s\"", a->name, a->placement,
                 b->placement);
    else
        return false;
    return true;
}
