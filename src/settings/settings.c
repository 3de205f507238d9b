// SPDX-License-Identifier: MIT
// Holds the table of settings, and reads, writes and checks a value by its row.
#include "settings/settings.h"

#include "base/error.h"
#include "base/text.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

// ---- The table ----

static const char *const specs[] = {"squares", NULL};
static const char *const caches[] = {"auto", "none", NULL};
static const char *const fits[] = {"stretch", "crop", "letterbox", NULL};
static const char *const normalisations[] = {"auto", "none", NULL};
static const char *const progresses[] = {"auto", "none", "line", "bar", NULL};

#define AT(field)                                                                                                      \
    .offset = offsetof(struct shk_run_settings, field), .size = sizeof((struct shk_run_settings *)0)->field
#define WHOLE(field, least, most) .type = SHK_WHOLE, AT(field), .low = least, .high = most, .placeholder = "N"
#define REAL(field, least, most) .type = SHK_REAL, AT(field), .low = least, .high = most, .placeholder = "X"
#define WORD(field, list) .type = SHK_WORD, AT(field), .words = list
#define FREE(field) .type = SHK_FREE, AT(field)
#define FLAG(field) .type = SHK_WHOLE, AT(field), .high = 1
#define PATH(field) .type = SHK_PATH, AT(field)
#define MODEL .section = SHK_SECTION_MODEL, .effect = SHK_BITS
#define DATA .section = SHK_SECTION_DATA, .effect = SHK_BITS
#define TRAINING .section = SHK_SECTION_TRAINING, .effect = SHK_BITS
#define RUN .section = SHK_SECTION_RUN
#define MACHINE .section = SHK_SECTION_MACHINE, .evaluation = true
#define OUTPUT .section = SHK_SECTION_OUTPUT

const struct shk_setting shk_settings[] = {
    {"model", FREE(model), MODEL, .placeholder = "MODEL",
     .sentence = "A preset or a description, see 'shikaku --help'"},
    {"init", PATH(init), MODEL, .placeholder = "FILE",
     .sentence = "Start from these weights: a file of ours or another tool's, or a run's folder"},

    {"data",
     {"source", "dataset"},
     PATH(data.spec),
     DATA,
     .moves = true,
     .words = specs,
     .evaluation = true,
     .placeholder = "SPEC",
     .sentence = "Pictures in folders of classes, a .csv of path,label, IDX, .npy, .npz, CIFAR; or squares"},
    {"train_data", PATH(data.train), DATA, .moves = true, .placeholder = "SPEC",
     .sentence = "The training data alone, where they lie apart"},
    {"test_data", PATH(data.test), DATA, .moves = true, .kind = SHK_FROM_FILES, .placeholder = "SPEC",
     .sentence = "The test data, beside --train-data"},
    {"split", REAL(data.split, 0, 1), DATA, .above = true, .below = true, .kind = SHK_FROM_FILES, .evaluation = true,
     .unset = "0.1 where there is neither val nor test",
     .sentence = "Part of each class's training samples on which choices are made (val)"},
    {"size", WHOLE(data.size, 8, 256), DATA,
     .unset = "squares: 32; pictures: their own, where all are alike and at most 64, else 32",
     .sentence = "Height and width of an image in pixels"},
    {"channels", WHOLE(data.channels, 1, 3), DATA, .kind = SHK_FROM_FILES,
     .unset = "1 where all training pictures are grey, else 3", .sentence = "Grey, 1, or RGB, 3"},
    {"fit", WORD(data.fit, fits), DATA, .kind = SHK_FROM_FILES, .placeholder = "HOW",
     .sentence = "How pictures of another size or aspect are brought to --size"},
    {"background", WHOLE(data.background, 0, 255), DATA, .standard = 255, .kind = SHK_FROM_FILES,
     .sentence = "What lies behind transparent pixels and beside a letterboxed picture"},
    {"normalise",
     {"normalize"},
     WORD(data.normalise, normalisations),
     DATA,
     .kind = SHK_FROM_FILES,
     .placeholder = "HOW",
     .sentence = "Pixels are (x - mean) / deviation, by channel; auto: of the training set"},
    {"mean", FREE(data.mean), DATA, .kind = SHK_FROM_FILES, .placeholder = "X,...", .unset = "the training set's",
     .sentence = "That mean, of pixels 0 to 1: one number, or one for each channel"},
    {"std", FREE(data.deviation), DATA, .kind = SHK_FROM_FILES, .placeholder = "X,...", .unset = "the training set's",
     .sentence = "That deviation"},
    {"skip_bad", FLAG(data.skip_bad), DATA, .kind = SHK_FROM_FILES, .evaluation = true,
     .sentence = "Go on without files that cannot be read"},
    {"train_samples", WHOLE(data.train_samples, 1, 10000000), DATA, .standard = 5000, .kind = SHK_DRAWN,
     .sentence = "Training samples"},
    {"test_samples", WHOLE(data.test_samples, 1, 10000000), DATA, .standard = 1000, .kind = SHK_DRAWN,
     .evaluation = true, .sentence = "Test samples"},
    {"square", WHOLE(data.square, 1, 85), DATA, .standard = 6, .kind = SHK_DRAWN, .evaluation = true,
     .sentence = "Side of the square in pixels, at most a third of the image"},
    {"invert", REAL(data.invert, 0, 1), DATA, .standard = 0.5, .kind = SHK_DRAWN, .evaluation = true,
     .sentence = "Probability that an image is inverted"},

    {"epochs", WHOLE(epochs, 1, 1000000), TRAINING, .rises = true, .standard = 5,
     .sentence = "Passes over the training set"},
    {"batch",
     {"batch-size"},
     WHOLE(train.batch, 1, SHK_MAX_BATCH),
     TRAINING,
     .standard = 64,
     .sentence = "Samples per step"},
    {"lr",
     {"learning-rate"},
     REAL(train.lr, 0, 1000),
     TRAINING,
     .above = true,
     .standard = 1e-3,
     .sentence = "Learning rate of Adam"},
    {"beta1", REAL(train.beta1, 0, 1), TRAINING, .above = true, .below = true, .standard = 0.9,
     .sentence = "How much of the gradients' mean Adam keeps from step to step"},
    {"beta2", REAL(train.beta2, 0, 1), TRAINING, .above = true, .below = true, .standard = 0.999,
     .sentence = "How much of the squares' mean Adam keeps from step to step"},
    {"eps", REAL(train.eps, 0, 1), TRAINING, .above = true, .standard = 1e-8,
     .sentence = "What Adam adds to the root by which it divides"},
    {"clip_norm", REAL(train.clip_norm, 0, 0), TRAINING, .above = true, .infinite = true, .unset = "not clipped",
     .sentence = "Scale the gradients of a step down where their norm together exceeds X; inf never does"},
    {"freeze", FREE(train.freeze), TRAINING, .placeholder = "PATTERN,...",
     .sentence = "Leave the tensors as they are whose names fit, as in 'conv1.*,*.bias'"},
    {"seed", WHOLE(train.seed, 0, UINT64_MAX), TRAINING, .evaluation = true,
     .sentence = "Seed of data, weights, shuffling and dropout"},
    {"shards", WHOLE(train.shards, 1, SHK_MAX_SHARDS), TRAINING, .standard = 64,
     .sentence = "Parts of a batch, or of each 256 samples of it; they fix the order of sums"},

    {"out",
     {"output"},
     PATH(out),
     RUN,
     .placeholder = "DIR",
     .sentence = "Keep the run there: config.json, metrics.jsonl, last.ckpt, best.safetensors, log.txt"},
    {"checkpoint_seconds", REAL(checkpoint_seconds, 0, 1000000000), RUN, .above = true,
     .unset = "10, or 100 times what writing one takes", .sentence = "Most seconds between two checkpoints"},
    {"checkpoint_every", WHOLE(checkpoint_every, 1, UINT32_MAX), RUN, .unset = "by time alone",
     .sentence = "A checkpoint every N steps, too"},
    {"max_seconds", REAL(max_seconds, 0, 1000000000), RUN, .above = true, .unset = "no limit",
     .sentence = "End before X seconds have passed, with a checkpoint and exit code 5: to go on in another job"},
    {"metrics_every", WHOLE(metrics_every, 1, UINT32_MAX), RUN, .effect = SHK_LINES, .standard = 100,
     .sentence = "A line in metrics.jsonl every N steps"},

    {"threads", WHOLE(threads, 1, SHK_MAX_THREADS), MACHINE,
     .unset = "SHIKAKU_THREADS, OMP_NUM_THREADS, else by cores and quota", .sentence = "Threads"},
    {"pin", FREE(pin), MACHINE, .unset = "SHIKAKU_PIN, else auto", .placeholder = "HOW",
     .sentence = "Where threads run: auto, cores, compact, scatter, none, or CPUs as in 0-3,8"},
    {"cache", PATH(cache), MACHINE, .words = caches, .kind = SHK_FROM_FILES, .placeholder = "DIR",
     .sentence = "Where decoded images are kept for the next time, or none; auto: ~/.cache/shikaku"},

    {"progress", WORD(progress, progresses), OUTPUT, .placeholder = "HOW",
     .sentence = "While it works: bar, on a terminal; a line every 10 s within long epochs; none; auto: bar or line"},
    {"quiet", FLAG(quiet), OUTPUT, .sentence = "Print the result and warnings alone"},
    {0},
};
const size_t shk_setting_count = sizeof shk_settings / sizeof *shk_settings - 1;
_Static_assert(sizeof shk_settings / sizeof *shk_settings - 1 <= SHK_MOST_SETTINGS, "one bit each");

const char *const shk_section_names[SHK_SECTIONS] = {"model", "data", "training", "run", "machine", "output"};

const struct shk_setting *shk_setting_named(const char *name) {
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

void shk_setting_option(const struct shk_setting *s, char option[SHK_SETTING_NAME]) {
    snprintf(option, SHK_SETTING_NAME, "%s", s->name);
    for (char *at = option; (at = strchr(at, '_'));) *at = '-';
}

bool shk_setting_kept(const struct shk_setting *s) { return s->effect != SHK_NOTHING; }

bool shk_setting_trains(const struct shk_setting *s) {
    const size_t begin = offsetof(struct shk_run_settings, train);
    return s->offset >= begin && s->offset < begin + sizeof(struct shk_train_options);
}

bool shk_setting_applies(const struct shk_setting *s, const struct shk_run_settings *run) {
    return s->kind == SHK_ANY_DATA || (s->kind == SHK_DRAWN) == shk_settings_draw(run);
}

bool shk_settings_draw(const struct shk_run_settings *run) {
    return strcmp(run->data.spec, specs[0]) == 0 && !*run->data.train;
}

// ---- Values ----

static bool is_text(const struct shk_setting *s) { return s->type != SHK_WHOLE && s->type != SHK_REAL; }

static const char *value_of(const struct shk_setting *s, const struct shk_run_settings *run) {
    return (const char *)run + s->offset;
}

static char *place_of(const struct shk_setting *s, struct shk_run_settings *run) { return (char *)run + s->offset; }

uint64_t shk_setting_whole(const struct shk_setting *s, const struct shk_run_settings *run) {
    uint32_t narrow = 0;
    uint64_t wide = 0;
    if (s->size == sizeof narrow)
        memcpy(&narrow, value_of(s, run), sizeof narrow);
    else
        memcpy(&wide, value_of(s, run), sizeof wide);
    return wide + narrow;
}

double shk_setting_real(const struct shk_setting *s, const struct shk_run_settings *run) {
    double value;
    memcpy(&value, value_of(s, run), sizeof value);
    return value;
}

const char *shk_setting_text(const struct shk_setting *s, const struct shk_run_settings *run) {
    return value_of(s, run);
}

static void put_whole(const struct shk_setting *s, struct shk_run_settings *run, uint64_t value) {
    const uint32_t narrow = (uint32_t)value;
    if (s->size == sizeof narrow)
        memcpy(place_of(s, run), &narrow, sizeof narrow);
    else
        memcpy(place_of(s, run), &value, sizeof value);
}

static bool whole_fits(const struct shk_setting *s, uint64_t value) {
    return (value >= s->low && value <= s->high) || (s->unset && value == 0);
}

bool shk_setting_set_whole(const struct shk_setting *s, struct shk_run_settings *run, uint64_t value) {
    if (!whole_fits(s, value)) return false;
    put_whole(s, run, value);
    return true;
}

static bool real_fits(const struct shk_setting *s, double value) {
    const double low = (double)s->low, high = s->infinite ? INFINITY : (double)s->high;
    if (s->unset && value == 0) return true;
    return (s->above ? value > low : value >= low) && (s->below ? value < high : value <= high);
}

bool shk_setting_set_real(const struct shk_setting *s, struct shk_run_settings *run, double value) {
    if (!real_fits(s, value)) return false;
    memcpy(place_of(s, run), &value, sizeof value);
    return true;
}

static bool text_fits(const struct shk_setting *s, const char *text) {
    if (s->type != SHK_WORD) return *text && strlen(text) < s->size;
    for (const char *const *word = s->words; *word; word++)
        if (strcmp(*word, text) == 0) return true;
    return false;
}

bool shk_setting_set_text(const struct shk_setting *s, struct shk_run_settings *run, const char *text) {
    if (!text_fits(s, text)) return false;
    snprintf(place_of(s, run), s->size, "%s", text);
    return true;
}

static bool set_typed(const struct shk_setting *s, struct shk_run_settings *run, const char *typed) {
    uint64_t whole;
    double real;
    if (is_text(s)) return shk_setting_set_text(s, run, typed);
    if (s->type == SHK_WHOLE)
        return shk_typed_whole(typed, &whole) && !(s->unset && whole == 0) && shk_setting_set_whole(s, run, whole);
    if (strcmp(typed, "inf") == 0) return shk_setting_set_real(s, run, INFINITY);
    return shk_typed_real(typed, &real) && !(s->unset && real == 0) && shk_setting_set_real(s, run, real);
}

bool shk_setting_parse(const struct shk_setting *s, struct shk_run_settings *run, const char *typed,
                       struct shk_error *err) {
    if (set_typed(s, run, typed)) return true;
    char option[SHK_SETTING_NAME], range[SHK_SETTING_TEXT];
    shk_setting_option(s, option);
    shk_setting_range(s, range);
    return shk_fail(err, SHK_BAD_INPUT, "--%s must be %.200s, not '%.64s'", option, range, typed);
}

void shk_setting_print(const struct shk_setting *s, const struct shk_run_settings *run, char text[SHK_SETTING_TEXT]) {
    if (is_text(s))
        snprintf(text, SHK_SETTING_TEXT, "%s", shk_setting_text(s, run));
    else if (s->type == SHK_WHOLE)
        shk_whole_text(shk_setting_whole(s, run), text);
    else
        shk_real_text(shk_setting_real(s, run), text);
}

bool shk_setting_equal(const struct shk_setting *s, const struct shk_run_settings *a,
                       const struct shk_run_settings *b) {
    if (is_text(s)) return strcmp(shk_setting_text(s, a), shk_setting_text(s, b)) == 0;
    if (s->type == SHK_WHOLE) return shk_setting_whole(s, a) == shk_setting_whole(s, b);
    return shk_setting_real(s, a) == shk_setting_real(s, b);
}

void shk_setting_copy(const struct shk_setting *s, struct shk_run_settings *to, const struct shk_run_settings *from) {
    memcpy(place_of(s, to), value_of(s, from), s->size);
}

// ---- Defaults and ranges ----

static void set_default(const struct shk_setting *s, struct shk_run_settings *run) {
    if (s->type == SHK_WHOLE) put_whole(s, run, (uint64_t)s->standard);
    if (s->type == SHK_REAL) memcpy(place_of(s, run), &s->standard, sizeof s->standard);
    if (s->words) snprintf(place_of(s, run), s->size, "%s", s->words[0]);
}

struct shk_run_settings shk_settings_defaults(void) {
    struct shk_run_settings run = {0};
    for (const struct shk_setting *s = shk_settings; s->name; s++) set_default(s, &run);
    return run;
}

void shk_setting_default(const struct shk_setting *s, char text[SHK_SETTING_TEXT]) {
    struct shk_run_settings run = {0};
    set_default(s, &run);
    if (s->unset)
        snprintf(text, SHK_SETTING_TEXT, "%s", s->unset);
    else
        shk_setting_print(s, &run, text);
}

static void words_text(const struct shk_setting *s, char text[SHK_SETTING_TEXT]) {
    size_t n = 0;
    *text = 0;
    for (size_t i = 0; s->words[i] && n < SHK_SETTING_TEXT; i++) {
        const char *comma = i == 0 ? "" : s->words[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(text + n, SHK_SETTING_TEXT - n, "%s%s", comma, s->words[i]);
    }
}

void shk_setting_range(const struct shk_setting *s, char text[SHK_SETTING_TEXT]) {
    const unsigned long long low = s->low, high = s->high;
    if (s->type == SHK_WORD)
        words_text(s, text);
    else if (is_text(s))
        snprintf(text, SHK_SETTING_TEXT, "a %s of 1 to %zu characters", s->type == SHK_PATH ? "path" : "text",
                 s->size - 1);
    else if (s->type == SHK_WHOLE)
        snprintf(text, SHK_SETTING_TEXT, "a whole number from %llu to %llu", low, high);
    else if (s->infinite)
        snprintf(text, SHK_SETTING_TEXT, "a number %s %llu, or inf", s->above ? "above" : "from", low);
    else
        snprintf(text, SHK_SETTING_TEXT, "a number %s %llu%s%llu", s->above ? "above" : "from", low,
                 s->below   ? " and below "
                 : s->above ? " and at most "
                            : " to ",
                 high);
}

// ---- Resuming, and the API ----

static bool number_is_zero(const struct shk_setting *s, const struct shk_run_settings *run) {
    return s->type == SHK_WHOLE ? shk_setting_whole(s, run) == 0 : shk_setting_real(s, run) == 0;
}

static bool number_fits(const struct shk_setting *s, const struct shk_run_settings *run) {
    return s->type == SHK_WHOLE ? whole_fits(s, shk_setting_whole(s, run)) : real_fits(s, shk_setting_real(s, run));
}

bool shk_setting_may_become(const struct shk_setting *s, const struct shk_run_settings *was,
                            const struct shk_run_settings *wanted, const char *where, struct shk_error *err) {
    char option[SHK_SETTING_NAME], has[SHK_SETTING_TEXT], is[SHK_SETTING_TEXT];
    if (!shk_setting_kept(s) || s->moves || shk_setting_equal(s, was, wanted)) return true;
    shk_setting_option(s, option);
    shk_setting_print(s, was, has);
    shk_setting_print(s, wanted, is);
    if (!s->rises)
        return shk_fail(err, SHK_BAD_INPUT,
                        "%.100s: the run has --%s %.100s, a resumed run cannot change it to %.100s: %s", where, option,
                        has, is, s->effect == SHK_BITS ? "it would get other bits" : "its files would get other lines");
    return shk_setting_whole(s, wanted) > shk_setting_whole(s, was) ||
           shk_fail(err, SHK_BAD_INPUT,
                    "%.100s: the run has --%s %s, a resumed run can raise it, but not lower it to %s", where, option,
                    has, is);
}

// 0 stands for the default.
static bool complete(const struct shk_setting *s, struct shk_run_settings *run, struct shk_error *err) {
    char has[SHK_SETTING_TEXT] = "a longer one", range[SHK_SETTING_TEXT];
    if (is_text(s) && memchr(shk_setting_text(s, run), 0, s->size)) return true;
    if (!is_text(s) && number_is_zero(s, run)) {
        set_default(s, run);
        return true;
    }
    if (!is_text(s) && number_fits(s, run)) return true;
    if (!is_text(s)) shk_setting_print(s, run, has);
    shk_setting_range(s, range);
    return shk_fail(err, SHK_BAD_INPUT, "%s must be %.200s, not %s", s->name, range, has);
}

bool shk_train_options_complete(struct shk_train_options *options, struct shk_error *err) {
    struct shk_run_settings run = {.train = *options};
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        if (shk_setting_trains(s) && !complete(s, &run, err)) return false;
    *options = run.train;
    return true;
}
