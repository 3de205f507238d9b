// SPDX-License-Identifier: MIT
// JSON goes through the printer as other text does.
#include "cli/json.h"

#include "base/json.h"
#include "cli/common.h"
#include <stdlib.h>

void cli_print_json(json_t *value) {
    char *text = value ? shk_json_text(value, JSON_INDENT(2)) : NULL;
    if (!text) cli_die(CLI_FAILED, "out of memory for JSON");
    cli_print("%s\n", text);
    free(text);
    json_decref(value);
}
