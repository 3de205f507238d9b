// SPDX-License-Identifier: MIT
// Settings that 'shikaku tune' found, in a file: one for each machine, model and batch.
#ifndef SHK_CLI_TUNED_H
#define SHK_CLI_TUNED_H

#include "cli/common.h"

struct tuned {
    char isa[16], pin[16];
    unsigned threads;
    size_t shards; // 0: not tuned
    double samples_per_second;
};

// What a setting is found by. Two machines with the same key are the same to it.
struct tuned_key {
    char machine[512]; // its CPU model, groups, allowed CPUs and quota
    const char *model; // its description in full
    size_t batch;
};
void tuned_key_fill(struct tuned_key *, const struct shk_machine *, const struct shk_model *, size_t batch);

// file NULL: shikaku/tuned.json in XDG_CONFIG_HOME, else in ~/.config. These end the program where the file cannot be used.
bool tuned_find(const char *file, const struct tuned_key *, struct tuned *out); // false: there is none
// Replaces the file at once, or leaves it as it was. Returns its name, to be freed.
char *tuned_store(const char *file, const struct tuned_key *, const struct tuned *);

#endif
