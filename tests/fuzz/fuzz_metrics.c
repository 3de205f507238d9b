// SPDX-License-Identifier: MIT
// metrics.jsonl from any bytes, at a position that the first two of them give.
#include "fuzz.h"

#include "report/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const struct metrics_place at = {{data[0], data[1]}, 1 + data[1] % 5, 1 + data[0] % 3};
    const char *text = (const char *)data + 2;
    struct metrics_found found, again;
    struct shk_error err = {0};
    if (!metrics_keep(text, size - 2, &at, "metrics.jsonl", &found, &err)) {
        must(err.code == SHK_BAD_INPUT && err.text[0]);
        return 0;
    }
    const size_t keep = found.keep;
    must(keep == size - 2 || (keep < size - 2 && (keep == 0 || text[keep - 1] == '\n')));
    must(metrics_keep(text, keep, &at, "metrics.jsonl", &again, &err) && again.keep == keep);
    must(again.lacking == found.lacking && again.odd == found.odd && found.lacking <= found.lines);
    return 0;
}
