// SPDX-License-Identifier: MIT
// Everything that determines a run's bits and lines, and its file, config.json.
#ifndef SHK_REPORT_CONFIG_H
#define SHK_REPORT_CONFIG_H

#include <jansson.h>
#include <shikaku/shikaku.h>

struct config {
    char model[400]; // a preset or a description
    uint64_t epochs;
    uint64_t batch, shards, seed; // shards 0: the library's choice
    uint64_t train_samples, test_samples;
    uint64_t size, square; // pixels
    uint64_t metrics_every;
    double lr, invert;
    double clip_norm; // 0: not clipped; may be infinite
};

// What a setting is about, for the help.
enum setting_group { SETTING_TRAINING, SETTING_DATA, SETTING_RUN, SETTING_GROUPS };

// One number of a config. `name` is that of its option; in the file it has '_' for '-'.
struct setting {
    const char *name;
    size_t offset; // in struct config
    bool real;     // a double, else a uint64_t
    uint64_t low;  // least and greatest value
    uint64_t high;
    bool above;    // the value is above `low`, not equal to it
    bool zero;     // 0 is allowed beside the others and stands for the default, or for nothing
    bool infinite; // "inf" is allowed, too
    enum setting_group group;
    const char *text, *doc; // for the help
};
enum { CONFIG_SETTINGS = 12 };
extern const struct setting config_settings[CONFIG_SETTINGS];
// All but the model.
#define CONFIG_DEFAULTS                                                                                                \
    {                                                                                                                  \
        .epochs = 5, .batch = 64, .train_samples = 5000, .test_samples = 1000, .size = 32, .square = 6,                \
        .metrics_every = 100, .lr = 1e-3, .invert = 0.5                                                                \
    }

// Whether the two have the same value.
bool config_equal(const struct config *, const struct config *, const struct setting *);
void config_copy(struct config *to, const struct config *from, const struct setting *);
// As one would type it.
void config_print(const struct config *, const struct setting *, char text[32]);
// From what was typed: a number and nothing else (no space, sign, hexadecimal, nan). False where it makes no sense.
bool config_parse(struct config *, const struct setting *, const char *text, struct shk_error *);

// The settings and the model as JSON, to be released; NULL: out of memory.
json_t *config_to_json(const struct config *);
// All settings must be there, each within its limits, and nothing else. `where` begins the error's sentence.
bool config_from_json(const json_t *, const char *where, struct config *, struct shk_error *);

// config.json: the settings, the numerics version, the model in full, and the machine on which the run began.
bool config_write(const char *path, const struct config *, const struct shk_model *, const struct shk_runtime *,
                  struct shk_error *);
// Refuses the file of another numerics version. `path` is for the error.
bool config_read_text(const char *text, size_t size, const char *path, struct config *, struct shk_error *);
bool config_read(const char *path, struct config *, struct shk_error *);
// Writes the file again with more epochs.
bool config_raise_epochs(const char *path, uint64_t epochs, struct shk_error *);

#endif
