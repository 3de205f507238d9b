// SPDX-License-Identifier: MIT
// Cuts lists that were typed, with commas between, into their pieces.
#ifndef SHK_CLI_LISTS_H
#define SHK_CLI_LISTS_H

#include "cli/common.h"

// Cuts `list` in place into descriptions of models, at most `most` of them; --models is the option. Ends the program where it is
// none.
size_t list_models(char *list, const char **descriptions, size_t most);
// Whole numbers from `least` to `greatest`, at most `most` of them.
size_t list_wholes(const char *option, const char *list, uint64_t least, uint64_t greatest, uint64_t *out, size_t most);

#endif
