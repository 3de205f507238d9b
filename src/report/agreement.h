// SPDX-License-Identifier: MIT
// Whether two measurements can be compared: of the same machine, built alike, computing the same.
#ifndef SHK_REPORT_AGREEMENT_H
#define SHK_REPORT_AGREEMENT_H

#include "report/measured.h"

enum { AGREEMENT = 1000 };
// The first thing that differs, as "WHAT differ: A and B"; false: nothing does.
bool contexts_differ(const json_t *a, const json_t *b, char out[AGREEMENT]);
bool benchmarks_differ(const struct measured_benchmark *a, const struct measured_benchmark *b, char out[AGREEMENT]);

#endif
