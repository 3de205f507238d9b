// SPDX-License-Identifier: MIT
// Describes a run: one table of settings, from which come the options and their help, the man page's list, config.json, what
// a checkpoint must agree in, the checks and defaults of the API, and what a resumed run may change.
//
// A new setting is a row of the table in settings.c, a field of one of the structs below (struct shk_train_options for
// those of the training), and what reads it.
#ifndef SHK_SETTINGS_SETTINGS_H
#define SHK_SETTINGS_SETTINGS_H

#include <shikaku/shikaku.h>

// Which data (struct shk_data_options); each row says with which it makes sense.
struct shk_data_settings {
    char spec[4096], train[4096], test[4096];
    double split;
    size_t size, channels;
    char fit[16];
    unsigned background;
    char normalise[8], mean[128], deviation[128];
    unsigned skip_bad;
    size_t train_samples, test_samples;
    size_t square; // pixels
    double invert;
};

// What the images and labels of a run were: shk_dataset_hash of each part in 16 hexadecimal digits; empty: there is no such
// part, or it is not known.
struct shk_data_hashes {
    char of[SHK_PARTS][17];
};

// A value for each row of the table, and what is not chosen but found.
struct shk_run_settings {
    struct shk_data_hashes hashes;
    char init_hash[17]; // shk_model_hash of the weights from which it started; empty: they were drawn
    char model[4096];   // a preset or a description
    char init[4096];    // a file of weights
    struct shk_data_settings data;
    size_t epochs;
    struct shk_train_options train;
    size_t metrics_every;
    // Of no weight and no line; not kept.
    char out[4096]; // the run's folder
    double checkpoint_seconds;
    size_t checkpoint_every;
    double max_seconds;
    unsigned threads;
    char pin[2048];
    char cache[4096]; // of decoded images
    char progress[8]; // how a command shows that it works
    unsigned quiet;
};

// A part of config.json and a heading of the help. What belongs to the machine and the output is in no file.
enum shk_section {
    SHK_SECTION_MODEL,
    SHK_SECTION_DATA,
    SHK_SECTION_TRAINING,
    SHK_SECTION_RUN,
    SHK_SECTION_MACHINE,
    SHK_SECTION_OUTPUT,
    SHK_SECTIONS
};
extern const char *const shk_section_names[SHK_SECTIONS]; // "model", ...

// What depends on a setting. The rows of SHK_NOTHING change the speed alone: they are not kept and may be others on resuming.
enum shk_effect { SHK_NOTHING, SHK_LINES, SHK_BITS }; // lines: of the run's files

// A whole number is a size_t, uint64_t or unsigned, a real one a double. The others are texts of at least one character: one
// of the row's words, anything, or a file's name.
enum shk_setting_type { SHK_WHOLE, SHK_REAL, SHK_WORD, SHK_FREE, SHK_PATH };

enum shk_data_kind { SHK_ANY_DATA, SHK_DRAWN, SHK_FROM_FILES };

struct shk_setting {
    const char *name;       // in files and in C; the option has '-' for '_'
    const char *aliases[3]; // what other trainers call the option; taken, not shown
    enum shk_setting_type type;
    enum shk_section section;
    enum shk_effect effect;
    size_t offset, size;      // in struct shk_run_settings
    uint64_t low, high;       // least and greatest number
    bool above, below;        // the number is above `low`, below `high`
    bool infinite;            // there is no greatest number, and "inf" is one
    bool rises;               // a resumed run may have more
    bool evaluation;          // it counts where a model is only evaluated, too
    double standard;          // the default; 0 where no number is one: `unset` says what happens then
    const char *unset;        // not NULL: 0 is allowed in files, and in the API it is no number but the lack of one
    const char *const *words; // ended by NULL; the first is the default
    enum shk_data_kind kind;  // of the data with which it makes sense
    bool moves;               // it is kept, and a resumed run may have another: its data are held against their hashes
    const char *placeholder;  // of the value in the help; NULL: the option has none and stands for 1
    const char *sentence;     // what it is, without its default
};
enum { SHK_MOST_SETTINGS = 64, SHK_SETTING_NAME = 32, SHK_SETTING_TEXT = 512 };
extern const struct shk_setting shk_settings[]; // ended by a row without a name
extern const size_t shk_setting_count;          // up to that

struct shk_run_settings shk_settings_defaults(void);
bool shk_settings_draw(const struct shk_run_settings *);       // the data are squares, not files
const struct shk_setting *shk_setting_named(const char *name); // NULL: there is none
void shk_setting_option(const struct shk_setting *, char option[SHK_SETTING_NAME]);
bool shk_setting_kept(const struct shk_setting *); // in config.json
// Whether it is in struct shk_train_options: what a checkpoint must agree in.
bool shk_setting_trains(const struct shk_setting *);
// Whether it makes sense with the run's data.
bool shk_setting_applies(const struct shk_setting *, const struct shk_run_settings *);
// What a value has to be, as the end of a sentence: "a number above 0 and at most 1000".
void shk_setting_range(const struct shk_setting *, char text[SHK_SETTING_TEXT]);
// What counts where nothing is said; empty: nothing does.
void shk_setting_default(const struct shk_setting *, char text[SHK_SETTING_TEXT]);

uint64_t shk_setting_whole(const struct shk_setting *, const struct shk_run_settings *);
double shk_setting_real(const struct shk_setting *, const struct shk_run_settings *);
const char *shk_setting_text(const struct shk_setting *, const struct shk_run_settings *);
// False, and nothing has changed, where the value is none that the setting can have.
bool shk_setting_set_whole(const struct shk_setting *, struct shk_run_settings *, uint64_t);
bool shk_setting_set_real(const struct shk_setting *, struct shk_run_settings *, double);
bool shk_setting_set_text(const struct shk_setting *, struct shk_run_settings *, const char *);
// From what was typed, as strictly as base/text.h has it.
bool shk_setting_parse(const struct shk_setting *, struct shk_run_settings *, const char *typed, struct shk_error *);
// As one would type it, and as a checkpoint has it; a number gives the same number back.
void shk_setting_print(const struct shk_setting *, const struct shk_run_settings *, char text[SHK_SETTING_TEXT]);
bool shk_setting_equal(const struct shk_setting *, const struct shk_run_settings *, const struct shk_run_settings *);
void shk_setting_copy(const struct shk_setting *, struct shk_run_settings *to, const struct shk_run_settings *from);

// Whether a run with the settings `was` can go on with `wanted` for this one; `where` begins the error's sentence.
bool shk_setting_may_become(const struct shk_setting *, const struct shk_run_settings *was,
                            const struct shk_run_settings *wanted, const char *where, struct shk_error *);
// Fills in the defaults for those that are 0 and checks all of them.
bool shk_train_options_complete(struct shk_train_options *, struct shk_error *);

#endif
