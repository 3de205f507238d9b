// SPDX-License-Identifier: MIT
// Settings that 'shikaku tune' found, in a file: one for each machine, model, batch and image size.
#ifndef SHK_CLI_TUNED_H
#define SHK_CLI_TUNED_H

#include "cli/common.h"
#include "settings/settings.h"

#define TUNED_BUSY 0.05 // from this share of the CPUs' time on that others took, a measurement is doubtful

struct tuned {
    char isa[16], pin[16];
    unsigned threads;
    size_t shards; // 0: not tuned
    double samples_per_second;
    // How far to trust them: the probability of a winner as good by luck, and of the CPUs' time what others took.
    double probability, load;
};

// What a setting is found by. Two machines with the same key are the same to it.
struct tuned_key {
    char machine[512]; // its CPU model, groups, allowed CPUs and quota
    const char *model; // its description in full
    size_t batch;
    char image[64]; // 32x32x1
};
void tuned_key_fill(struct tuned_key *, const struct shk_machine *, const struct shk_model *, size_t batch);

// file NULL: shikaku/tuned.json in XDG_CONFIG_HOME, else in ~/.config. These end the program where the file cannot be used.
void tuned_prepare(const char *file); // before much is spent on what could not be stored; makes the folder
// False: there is none. Warns of one that was measured on a busy machine, or by another version.
bool tuned_find(const char *file, const struct tuned_key *, struct tuned *out);
// Replaces the file at once, or leaves it as it was. Returns its name, to be freed.
char *tuned_store(const char *file, const struct tuned_key *, const struct tuned *);

// Height and width of the images for which is tuned.
static inline size_t tuned_size(const struct shk_run_settings *s) { return s->data.size ? s->data.size : 32; }

#endif
