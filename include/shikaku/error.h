// SPDX-License-Identifier: MIT
// The one error style: a function that can fail takes `struct shk_error *` last, returns NULL or false, and fills it.
#ifndef SHIKAKU_ERROR_H
#define SHIKAKU_ERROR_H

enum shk_code {
    SHK_OK = 0,
    SHK_FAILED = 1,    // the work itself failed (memory, I/O, a loss that is not finite)
    SHK_BAD_INPUT = 2, // usage, a value, a file: the caller can put it right
};

struct shk_error {
    enum shk_code code;
    char text[400]; // one sentence without a full stop: what is wrong and what would be right
};

#endif
