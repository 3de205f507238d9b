// SPDX-License-Identifier: MIT
// Prints JSON.
#ifndef SHK_CLI_JSON_H
#define SHK_CLI_JSON_H

#include <jansson.h>

// The value, indented, and a line's end to stdout; releases it. NULL, or no memory: ends the program.
void cli_print_json(json_t *);

#endif
