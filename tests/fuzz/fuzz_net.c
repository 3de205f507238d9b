// SPDX-License-Identifier: MIT
// A net's text from any bytes: it is refused in one sentence, or it is a model, whose description is the same model again.
#include "fuzz.h"

#include "nn/model.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct shk_shape shape = {12, 9, 3, 4};
    struct shk_error err = {0};
    char *text = calloc(size + 5, 1);
    must(text != NULL);
    memcpy(text, "net:", 4);
    if (size) memcpy(text + 4, data, size);
    struct shk_model *m = shk_model_outline(text, &shape, &err);
    free(text);
    if (!m) {
        must(err.code != SHK_OK && err.text[0] && !memchr(err.text, '\n', strlen(err.text)));
        return 0;
    }
    struct shk_model *again = shk_model_outline(m->config.description, &shape, &err);
    must(again && strcmp(again->config.description, m->config.description) == 0);
    must(again->graph.count == m->graph.count && again->parameters == m->parameters);
    for (unsigned i = 0; i < m->param_count; i++) must(strcmp(again->params[i].name, m->params[i].name) == 0);
    shk_model_free(again);
    shk_model_free(m);
    return 0;
}
