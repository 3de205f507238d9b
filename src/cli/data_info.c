// SPDX-License-Identifier: MIT
// shikaku data info: what data hold, and what in them is doubtful.
#include "base/json.h"
#include "cli/data_command.h"
#include "cli/json.h"
#include "cli/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct info_settings {
    struct data_arguments data;
    bool json;
};

enum { KEY_JSON = 4096 };

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "Print all of it as JSON", 0},
    CLI_HELP_OPTION,
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    struct info_settings *s = state->input;
    if (key != KEY_JSON) return data_parse(&s->data, "info pictures", key, arg, state);
    s->json = true;
    return 0;
}

// What is known of the data.
struct info {
    const struct shk_data *data;
    const struct data_said *said;
    const struct shk_findings *found;
    struct shk_shape shape;
    size_t *count; // [classes][SHK_PARTS]
    float mean[SHK_MAX_CHANNELS], deviation[SHK_MAX_CHANNELS];
};

static const char *const part_names[SHK_PARTS] = {"train", "val", "test"};

static struct info info_of(const struct shk_data *data, const struct data_said *said,
                           const struct shk_findings *found) {
    const struct shk_dataset *train = shk_data_part(data, SHK_PART_TRAIN);
    struct info info = {.data = data, .said = said, .found = found, .shape = shk_dataset_shape(train)};
    info.count = calloc(info.shape.classes, SHK_PARTS * sizeof *info.count);
    if (!info.count) cli_die(CLI_FAILED, "out of memory");
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct shk_dataset *d = shk_data_part(data, part);
        for (size_t i = 0; d && i < shk_dataset_size(d); i++) info.count[shk_dataset_label(d, i) * SHK_PARTS + part]++;
    }
    shk_dataset_statistics(train, info.mean, info.deviation);
    return info;
}

// Pictures have names, and were brought to their size.
static bool are_pictures(const struct info *info) { return shk_data_sample(info->data, SHK_PART_TRAIN, 0); }

static const char *fit_of(const struct info *info) {
    static const char *const fits[] = {"stretch", "crop", "letterbox"};
    return fits[shk_dataset_preprocessing(shk_data_part(info->data, SHK_PART_TRAIN)).fit];
}

static unsigned background_of(const struct info *info) {
    return shk_dataset_preprocessing(shk_data_part(info->data, SHK_PART_TRAIN)).background;
}

// ---- Which samples stand in which list ----

static uint32_t label_of(const struct info *info, struct shk_sample s) {
    return shk_dataset_label(shk_data_part(info->data, s.part), s.index);
}

static bool is_conflict(const struct info *info, const struct shk_same *s) {
    return s->equal && label_of(info, s->sample) != label_of(info, s->first);
}
static bool is_leak(const struct info *info, const struct shk_same *s) {
    (void)info;
    return s->sample.part != s->first.part;
}
static bool is_duplicate(const struct info *info, const struct shk_same *s) {
    return !is_leak(info, s) && !is_conflict(info, s);
}

static const struct list {
    const char *name, *sentence;
    bool (*has)(const struct info *, const struct shk_same *);
} lists[] = {{"leaks", "in one part and in another as well", is_leak},
             {"conflicts", "equal to one of another class", is_conflict},
             {"duplicates", "twice in one part", is_duplicate}};
enum { LISTS = sizeof lists / sizeof *lists };

// ---- Text ----

enum { MOST_LINES = 20, MOST_CLASSES = 200 };

static void print_name(const struct info *info, struct shk_sample s) {
    const char *name = shk_data_sample(info->data, s.part, s.index);
    if (name)
        cli_print("%s %s", part_names[s.part], cli_shown(name).text);
    else
        cli_print("%s %zu", part_names[s.part], s.index);
}

static void print_class(const struct info *info, struct shk_sample s) {
    const uint32_t label = label_of(info, s);
    const char *name = shk_dataset_class(shk_data_part(info->data, s.part), label);
    if (name)
        cli_print(" (%s)", cli_shown(name).text);
    else
        cli_print(" (class %" PRIu32 ")", label);
}

static void print_rest(size_t all) {
    if (all > MOST_LINES) cli_print("  and %zu more: --json has all\n", all - MOST_LINES);
}

static void print_list(const struct info *info, const struct list *list) {
    size_t all = 0, equal = 0;
    for (size_t i = 0; i < info->found->sames; i++) {
        if (!list->has(info, &info->found->same[i])) continue;
        all++;
        equal += info->found->same[i].equal;
    }
    cli_print("%s: %zu", list->name, all);
    if (all) cli_print(" %s: %zu equal (=), %zu alike (~)", list->sentence, equal, all - equal);
    cli_print("\n");
    for (size_t i = 0, shown = 0; i < info->found->sames && shown < MOST_LINES; i++) {
        const struct shk_same *s = &info->found->same[i];
        const bool classes = label_of(info, s->sample) != label_of(info, s->first);
        if (!list->has(info, s)) continue;
        shown++;
        cli_print("  ");
        print_name(info, s->sample);
        if (classes) print_class(info, s->sample);
        cli_print(" %c ", s->equal ? '=' : '~');
        print_name(info, s->first);
        if (classes) print_class(info, s->first);
        cli_print("\n");
    }
    print_rest(all);
}

static void print_doubtful(const struct info *info) {
    const struct shk_names *bad = &info->said->bad;
    const size_t constants = info->found->constants;
    cli_print("files that cannot be read: %zu\n", bad->count);
    for (size_t i = 0; i < bad->count && i < MOST_LINES; i++) cli_print("  %s\n", cli_shown(bad->names[i]).text);
    print_rest(bad->count);
    cli_print("images of one value: %zu\n", constants);
    for (size_t i = 0; i < constants && i < MOST_LINES; i++) {
        cli_print("  ");
        print_name(info, info->found->constant[i]);
        cli_print("\n");
    }
    print_rest(constants);
}

static void print_parts(const struct info *info) {
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct shk_dataset *d = shk_data_part(info->data, part);
        if (d)
            cli_print("%s: %zu samples, hash %016" PRIx64 "\n", part_names[part], shk_dataset_size(d),
                      shk_dataset_hash(d));
    }
}

static void print_classes(const struct info *info) {
    const struct shk_dataset *train = shk_data_part(info->data, SHK_PART_TRAIN);
    cli_print("classes: %zu\n%8s  %8s  %8s  %8s  %s\n", info->shape.classes, "label", "train", "val", "test", "class");
    for (size_t c = 0; c < info->shape.classes && c < MOST_CLASSES; c++) {
        const size_t *count = info->count + c * SHK_PARTS;
        const char *name = shk_dataset_class(train, c);
        cli_print("%8zu  %8zu  %8zu  %8zu  %s\n", c, count[SHK_PART_TRAIN], count[SHK_PART_VAL], count[SHK_PART_TEST],
                  name ? cli_shown(name).text : "-");
    }
    if (info->shape.classes > MOST_CLASSES)
        cli_print("and %zu more classes: --json has all\n", info->shape.classes - MOST_CLASSES);
}

static void print_channels(const char *name, const struct info *info, const float *values) {
    cli_print("%s:", name);
    for (size_t c = 0; c < info->shape.channels; c++) cli_print("%s %.4f", c ? "," : "", (double)values[c]);
    cli_print("\n");
}

static void print_info(const struct info *info) {
    const struct shk_shape *s = &info->shape;
    for (size_t i = 0; i < info->said->notes.count; i++)
        cli_print("data: %s\n", cli_shown(info->said->notes.names[i]).text);
    cli_print("source: %s, images of %zux%zu pixels, %zu channel%s\n", shk_data_source(info->data), s->height, s->width,
              s->channels, s->channels == 1 ? "" : "s");
    if (are_pictures(info)) cli_print("fit: %s, background: %u\n", fit_of(info), background_of(info));
    print_parts(info);
    print_classes(info);
    print_channels("mean of train", info, info->mean);
    print_channels("deviation", info, info->deviation);
    print_doubtful(info);
    for (size_t i = 0; i < LISTS; i++) print_list(info, &lists[i]);
}

// ---- JSON ----

static json_t *sample_to_json(const struct info *info, struct shk_sample s) {
    const char *name = shk_data_sample(info->data, s.part, s.index);
    return json_pack("{s:s, s:I, s:s?, s:I}", "part", part_names[s.part], "index", (json_int_t)s.index, "name",
                     name ? cli_shown(name).text : NULL, "label", (json_int_t)label_of(info, s));
}

static json_t *sentences_to_json(const struct shk_names *sentences) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < sentences->count; i++)
        json_array_append_new(array, json_string(cli_shown(sentences->names[i]).text));
    return array;
}

static json_t *parts_to_json(const struct info *info) {
    json_t *parts = json_object();
    for (unsigned part = 0; part < SHK_PARTS; part++) {
        const struct shk_dataset *d = shk_data_part(info->data, part);
        char hash[17];
        if (!d) continue;
        snprintf(hash, sizeof hash, "%016" PRIx64, shk_dataset_hash(d));
        json_object_set_new(parts, part_names[part],
                            json_pack("{s:I, s:s}", "samples", (json_int_t)shk_dataset_size(d), "hash", hash));
    }
    return parts;
}

static json_t *classes_to_json(const struct info *info) {
    json_t *array = json_array();
    for (size_t c = 0; array && c < info->shape.classes; c++) {
        const size_t *count = info->count + c * SHK_PARTS;
        json_array_append_new(array,
                              json_pack("{s:I, s:s?, s:I, s:I, s:I}", "label", (json_int_t)c, "name",
                                        shk_dataset_class(shk_data_part(info->data, SHK_PART_TRAIN), c), "train",
                                        (json_int_t)count[SHK_PART_TRAIN], "val", (json_int_t)count[SHK_PART_VAL],
                                        "test", (json_int_t)count[SHK_PART_TEST]));
    }
    return array;
}

static json_t *channels_to_json(const struct info *info, const float *values) {
    json_t *array = json_array();
    for (size_t c = 0; array && c < info->shape.channels; c++)
        json_array_append_new(array, shk_json_number((double)values[c]));
    return array;
}

static json_t *list_to_json(const struct info *info, const struct list *list) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < info->found->sames; i++) {
        const struct shk_same *s = &info->found->same[i];
        if (list->has(info, s))
            json_array_append_new(array, json_pack("{s:o, s:o, s:b}", "sample", sample_to_json(info, s->sample),
                                                   "first", sample_to_json(info, s->first), "equal", s->equal));
    }
    return array;
}

static json_t *info_to_json(const struct info *info) {
    const struct shk_shape *s = &info->shape;
    json_t *constants = json_array();
    for (size_t i = 0; constants && i < info->found->constants; i++)
        json_array_append_new(constants, sample_to_json(info, info->found->constant[i]));
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "source", shk_data_source(info->data), "height",
        (json_int_t)s->height, "width", (json_int_t)s->width, "channels", (json_int_t)s->channels, "parts",
        parts_to_json(info), "classes", classes_to_json(info), "mean", channels_to_json(info, info->mean), "deviation",
        channels_to_json(info, info->deviation), "notes", sentences_to_json(&info->said->notes), "unreadable",
        sentences_to_json(&info->said->bad), "constant", constants);
    if (object && are_pictures(info)) {
        json_object_set_new(object, "fit", json_string(fit_of(info)));
        json_object_set_new(object, "background", json_integer(background_of(info)));
    }
    for (size_t i = 0; object && i < LISTS; i++)
        json_object_set_new(object, lists[i].name, list_to_json(info, &lists[i]));
    return object;
}

int data_info(int argc, char **argv) {
    const struct argp_child children[] = {{data_argp(), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "SPEC",
        .doc =
            "Shows what data hold: shape, parts, classes and statistics, and what is doubtful: files that cannot be "
            "read "
            "(with or without --skip-bad), images of one value, pictures that are in one part and in another as well, "
            "or twice in one, equal or encoded again, and equal ones of different classes.",
        .children = children,
    };
    struct info_settings s = {.data = data_arguments_of(false)};
    struct data_said said;
    struct shk_error error = {0};
    cli_parse(&argp, "shikaku data info", argc, argv, &s);
    s.data.run.values.data.skip_bad = true;
    struct shk_runtime *runtime = run_make_runtime(&s.data.run, 0);
    struct shk_data *data = data_look(&s.data.run, runtime, &said);
    struct shk_findings *found = shk_data_findings(data, runtime, &error);
    if (!found) cli_die_error(&error);
    struct info info = info_of(data, &said, found);
    if (s.json)
        cli_print_json(info_to_json(&info));
    else
        print_info(&info);
    free(info.count);
    shk_findings_free(found);
    data_said_free(&said);
    shk_data_free(data);
    shk_runtime_free(runtime);
    return cli_finish_output();
}
