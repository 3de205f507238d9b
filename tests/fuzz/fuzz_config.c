// SPDX-License-Identifier: MIT
// config.json from any bytes; what is taken must come back from what is written.
#include "fuzz.h"

#include "report/config.h"
#include <string.h>

static void check_settings(const struct config *c) {
    struct config again = {0};
    struct shk_error err = {0};
    json_t *object = config_to_json(c);
    must(object != NULL && config_from_json(object, "again", &again, &err));
    must(!strcmp(c->model, again.model));
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) must(config_equal(c, &again, &config_settings[i]));
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config c = CONFIG_DEFAULTS;
    struct shk_error err = {0};
    if (config_read_text((const char *)data, size, "config.json", &c, &err))
        check_settings(&c);
    else
        must(err.code == SHK_BAD_INPUT && err.text[0]);
    return 0;
}
