// SPDX-License-Identifier: MIT
// Numbers as one types them, and nothing else: no space, plus sign, hexadecimal, nan or inf.
#ifndef SHK_REPORT_NUMBER_H
#define SHK_REPORT_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

bool number_whole(const char *text, uint64_t *value);
bool number_real(const char *text, double *value);

#endif
