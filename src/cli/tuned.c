// SPDX-License-Identifier: MIT
// The file of tuned settings is read and written here.
#include "cli/tuned.h"

#include "base/json.h"
#include "report/folder.h"

#define XXH_INLINE_ALL
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

__attribute__((format(printf, 1, 2))) static char *format_text(const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    const int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0) cli_die(CLI_FAILED, "out of memory");
    return text;
}

// ---- Key ----

void tuned_key_fill(struct tuned_key *key, const struct shk_machine *machine, const struct shk_model *model,
                    size_t batch) {
    const struct shk_machine_info *m = shk_machine_info(machine);
    const struct shk_cpu *cpus = shk_machine_cpus(machine);
    XXH64_hash_t allowed = 0; // of the allowed CPUs' numbers
    for (unsigned i = 0; i < m->cpus; i++)
        if (cpus[i].allowed) allowed = XXH3_64bits_withSeed(&cpus[i].number, sizeof cpus[i].number, allowed);
    snprintf(
        key->machine, sizeof key->machine,
        "%s; packages %u, nodes %u, L3 groups %u, cores %u, CPUs %u; L2 %zu, L3 %zu; allowed %u (%08x); quota %.4g",
        m->cpu_model, m->packages, m->nodes, m->l3_groups, m->cores, m->cpus, m->l2, m->l3, m->allowed_cpus,
        (unsigned)(allowed ^ allowed >> 32), m->quota);
    key->model = shk_model_description(model);
    key->batch = batch;
    const struct shk_shape shape = shk_model_shape(model);
    snprintf(key->image, sizeof key->image, "%zux%zux%zu", shape.height, shape.width, shape.channels);
}

// ---- File ----

static char *file_name(const char *file) {
    if (file) return format_text("%s", file);
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/') return format_text("%s/shikaku/tuned.json", config);
    if (home && *home) return format_text("%s/.config/shikaku/tuned.json", home);
    cli_die(CLI_USAGE, "neither XDG_CONFIG_HOME nor HOME is set: name the file of tuned settings");
}

// An array of settings; a file that is not there holds none.
static json_t *read_all(const char *name) {
    json_error_t error;
    struct stat status;
    if (stat(name, &status) != 0) return json_array();
    if (!S_ISREG(status.st_mode)) cli_die(CLI_USAGE, "%s is no file that can hold tuned settings: name another", name);
    json_t *all = shk_json_read_file(name, &error);
    if (!all)
        cli_die(CLI_USAGE, "%s holds no tuned settings (line %d: %s): remove it, or tune again with another --out",
                name, error.line, error.text);
    if (!json_is_array(all))
        cli_die(CLI_USAGE, "%s holds no tuned settings: remove it, or tune again with another --out", name);
    return all;
}

static bool fits(json_t *entry, const struct tuned_key *key) {
    const char *machine, *model, *image;
    json_int_t batch;
    return json_unpack(entry, "{s:s, s:s, s:I, s:s}", "machine", &machine, "model", &model, "batch", &batch, "image",
                       &image) == 0 &&
           strcmp(machine, key->machine) == 0 && strcmp(model, key->model) == 0 && batch == (json_int_t)key->batch &&
           strcmp(image, key->image) == 0;
}

// A setting and what is known of its measurement.
static bool read_entry(json_t *entry, struct tuned *out) {
    const char *isa, *pin, *measured, *version;
    json_int_t threads, shards;
    json_t *speed; // null where it could not be measured
    if (json_unpack(entry, "{s:s, s:s, s:I, s:I, s:o, s:F, s:F, s:s, s:s}", "isa", &isa, "pin", &pin, "threads",
                    &threads, "shards", &shards, "samples_per_second", &speed, "probability", &out->probability, "load",
                    &out->load, "measured", &measured, "version", &version) ||
        !(json_is_number(speed) || json_is_null(speed)) || strlen(isa) >= sizeof out->isa ||
        strlen(pin) >= sizeof out->pin || threads < 1 || threads > SHK_MAX_THREADS || shards < 0 ||
        shards > SHK_MAX_SHARDS)
        return false;
    snprintf(out->isa, sizeof out->isa, "%s", isa);
    snprintf(out->pin, sizeof out->pin, "%s", pin);
    out->samples_per_second = json_number_value(speed);
    out->threads = (unsigned)threads;
    out->shards = (size_t)shards;
    if (out->load >= TUNED_BUSY)
        cli_warn("these settings were measured while others took %.0f %% of the CPUs' time: tune again on a quiet "
                 "machine",
                 100 * out->load);
    if (strcmp(version, shk_version()) != 0)
        cli_warn("these settings were measured with another version than %s: tune again", shk_version());
    return true;
}

bool tuned_find(const char *file, const struct tuned_key *key, struct tuned *out) {
    char *name = file_name(file);
    json_t *all = read_all(name), *entry;
    size_t i;
    bool found = false;
    json_array_foreach(all, i, entry) {
        if (found || !fits(entry, key)) continue;
        found = read_entry(entry, out);
        if (!found) cli_die(CLI_USAGE, "%s holds a tuned setting that makes no sense: tune again", name);
    }
    json_decref(all);
    free(name);
    return found;
}

void tuned_prepare(const char *file) {
    char *name = file_name(file), *copy = format_text("%s", name), *trial = format_text("%s.XXXXXX", name);
    struct shk_error error = {0};
    json_decref(read_all(name));
    if (!folder_make(dirname(copy), &error)) cli_die_error(&error);
    const int fd = mkstemp(trial);
    if (fd < 0) cli_die(CLI_FAILED, "no file can be written beside %s: %s", name, strerror(errno));
    close(fd);
    unlink(trial);
    free(trial);
    free(copy);
    free(name);
}

static json_t *entry_of(const struct tuned_key *key, const struct tuned *t) {
    char now[32] = "";
    struct tm date;
    const time_t seconds = time(NULL);
    if (gmtime_r(&seconds, &date)) strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &date);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:s, s:I, s:o, s:o, s:o, s:s, s:s}", "machine", key->machine,
                     "model", key->model, "batch", (json_int_t)key->batch, "image", key->image, "isa", t->isa,
                     "threads", (json_int_t)t->threads, "pin", t->pin, "shards", (json_int_t)t->shards,
                     "samples_per_second", shk_json_number(t->samples_per_second), "probability",
                     shk_json_number(t->probability), "load", shk_json_number(t->load), "measured", now, "version",
                     shk_version());
}

// Two that tune at once write one after the other, each on what the other has left. Where a file system knows no locks, nobody
// waits. The lock ends with the descriptor.
static int lock_folder(const char *folder) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) cli_die(CLI_FAILED, "%s cannot be opened: %s", folder, strerror(errno));
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    return fd;
}

// All that the file holds, and this instead of what fitted the key.
static char *text_with(const char *name, const struct tuned_key *key, const struct tuned *t) {
    json_t *all = read_all(name);
    for (size_t i = json_array_size(all); i-- > 0;)
        if (fits(json_array_get(all, i), key)) json_array_remove(all, i);
    if (json_array_append_new(all, entry_of(key, t)) != 0) cli_die(CLI_FAILED, "out of memory");
    char *text = shk_json_text(all, JSON_INDENT(2));
    if (!text) cli_die(CLI_FAILED, "out of memory");
    json_decref(all);
    return text;
}

char *tuned_store(const char *file, const struct tuned_key *key, const struct tuned *t) {
    char *name = file_name(file), *copy = format_text("%s", name);
    const char *folder = dirname(copy);
    struct shk_error error = {0};
    if (!folder_make(folder, &error)) cli_die_error(&error);
    const int lock = lock_folder(folder);
    char *text = text_with(name, key, t);
    if (!shk_write_file(name, text, strlen(text), &error)) cli_die_error(&error);
    close(lock);
    free(text);
    free(copy);
    return name;
}
