// SPDX-License-Identifier: MIT
// Cuts lists of models and of numbers.
#include "cli/lists.h"

#include <stdlib.h>
#include <string.h>

// Up to the first comma that is in no brackets.
static size_t first_piece(const char *list) {
    size_t length = 0, open = 0;
    for (; list[length] && (list[length] != ',' || open); length++) {
        if (list[length] == '(') open++;
        if (list[length] == ')' && open) open--;
    }
    return length;
}

// The length of the first description in a list. Descriptions hold commas too: a piece such as "depth=2" belongs to the
// description before it, "cnn:hidden=64" and "tinycnn" begin one.
// Those in a net's text are in brackets.
static size_t first_description(const char *list) {
    size_t length = first_piece(list);
    while (list[length]) {
        const char *piece = list + length + 1;
        const size_t key = strcspn(piece, ":=,");
        if (piece[key] != '=') break;
        length += 1 + first_piece(piece);
    }
    return length;
}

size_t list_models(char *list, const char **descriptions, size_t most) {
    size_t count = 0;
    for (char *rest = list; rest;) {
        const size_t length = first_description(rest);
        if (length == 0)
            cli_die(CLI_USAGE, "--models must name models with single commas between, as in tinycnn,tinyvit");
        if (count == most) cli_die(CLI_USAGE, "--models must name at most %zu models", most);
        const bool more = rest[length] != 0;
        rest[length] = 0;
        descriptions[count++] = cli_model_text(rest);
        rest = more ? rest + length + 1 : NULL;
    }
    return count;
}

size_t list_wholes(const char *option, const char *list, uint64_t least, uint64_t greatest, uint64_t *out,
                   size_t most) {
    char *copy = strdup(list), *rest = copy;
    size_t count = 0;
    if (!copy) cli_die(CLI_FAILED, "out of memory");
    for (char *piece; (piece = strsep(&rest, ","));) {
        if (count == most) cli_die(CLI_USAGE, "--%s takes at most %zu numbers", option, most);
        out[count++] = cli_whole(option, piece, least, greatest);
    }
    free(copy);
    return count;
}
