// SPDX-License-Identifier: MIT
// Reads config.json from any bytes, as they are and with the numerics version of today, so that what lies behind it is
// reached; and settings as files of weights hold them. What is taken must come back from what is written.
#include "fuzz.h"

#include "report/config.h"
#include <stdio.h>
#include <string.h>

static void check_settings(const struct shk_run_settings *c) {
    struct shk_run_settings again = {0};
    struct shk_error err = {0};
    json_t *object = config_to_json(c);
    must(object != NULL && config_from_json(object, "again", &again, &err));
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        must(!shk_setting_kept(s) || shk_setting_equal(s, c, &again));
    json_decref(object);
}

static void check_result(bool taken, const struct shk_run_settings *c, const struct shk_error *err) {
    if (taken)
        check_settings(c);
    else
        must(err->code == SHK_BAD_INPUT && err->text[0]);
}

static void check_file(const char *text, size_t size) {
    struct shk_run_settings c;
    struct shk_error err = {0};
    check_result(config_read_text(text, size, "config.json", &c, &err), &c, &err);
}

// "numerics" with its value, whatever it is, becomes that of today.
static void check_repaired(const char *text, size_t size) {
    static const char key[] = "\"numerics\":";
    const char *at = size ? memmem(text, size, key, sizeof key - 1) : NULL;
    if (!at) return;
    const size_t before = (size_t)(at - text) + sizeof key - 1;
    size_t after = before;
    while (after < size && strchr(" 0123456789", text[after]) && text[after]) after++;
    char *repaired = malloc(size + 16);
    memcpy(repaired, text, before);
    const size_t digits = (size_t)snprintf(repaired + before, 16, "%d", SHK_NUMERICS_VERSION);
    memcpy(repaired + before + digits, text + after, size - after);
    check_file(repaired, before + digits + size - after);
    free(repaired);
}

static void check_note(const char *text, size_t size) {
    struct shk_run_settings c;
    struct shk_error err = {0};
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (object) check_result(config_from_json(object, "note", &c, &err), &c, &err);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_file((const char *)data, size);
    check_repaired((const char *)data, size);
    check_note((const char *)data, size);
    return 0;
}
