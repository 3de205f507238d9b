// SPDX-License-Identifier: MIT
// Lists of CPUs and the numbers of cgroup files from any bytes.
#include "fuzz.h"

#include "base/cgroup.h"
#include "machine/cpulist.h"
#include <string.h>

static void check_list(const char *text) {
    enum { MOST = 200 };
    unsigned cpus[MOST], again[MOST], count, count_again;
    char out[2000], small[20];
    if (!shk_cpulist_parse(text, cpus, MOST, &count)) return;
    must(count >= 1 && count <= MOST);
    shk_cpulist_format(cpus, count, out, sizeof out);
    must(shk_cpulist_parse(out, again, MOST, &count_again) && count == count_again);
    must(!memcmp(cpus, again, count * sizeof *cpus));
    shk_cpulist_format(cpus, count, small, sizeof small);
    must(strlen(small) < sizeof small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    uint64_t number;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    check_list(text);
    const char *at = text;
    while (shk_read_number(&at, " ", &number)) must(at <= text + size);
    shk_stat_value(text, "nr_throttled");
    free(text);
    return 0;
}
