// SPDX-License-Identifier: MIT
// Files of benchmarks' results, and lines of their store, from any bytes; of what is taken, every time is a time.
#include "fuzz.h"

#include "report/store.h"
#include <math.h>
#include <string.h>

static void must_be_times(const double *times, size_t count) {
    for (size_t i = 0; i < count; i++) must(times[i] > 0 && isfinite(times[i]));
}

static void check(const struct measured_benchmark *b) {
    must(b->name[0] && strlen(b->name) < sizeof b->name && strlen(b->placement) < sizeof b->placement);
    must(b->count >= 1 && b->count <= STATISTICS_MOST && b->threads >= 1);
    must(b->hashed == (b->hashed_steps > 0));
    must_be_times(measured_times(b, false), b->count);
    must_be_times(measured_times(b, true), b->count);
}

static void check_line(const char *text, size_t size) {
    struct store_run run;
    struct shk_error err = {0};
    if (!store_read_line(text, size, "store.jsonl, line 1", &run, &err)) {
        must(err.code == SHK_BAD_INPUT && err.text[0]);
        return;
    }
    must(!*run.name || store_is_name(run.name));
    must(run.results.count >= 1);
    store_free_run(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct measured m;
    struct shk_error err = {0};
    check_line((const char *)data, size);
    if (!measured_from_text((const char *)data, size, "results.json", &m, &err)) {
        must(err.code == SHK_BAD_INPUT && err.text[0] && !m.context && !m.benchmark);
        return 0;
    }
    must(m.count >= 1 && m.count <= MEASURED_BENCHMARKS && json_is_object(m.context));
    for (size_t i = 0; i < m.count; i++) {
        check(&m.benchmark[i]);
        must(measured_find(&m, m.benchmark[i].name) == &m.benchmark[i]);
    }
    measured_free(&m);
    return 0;
}
