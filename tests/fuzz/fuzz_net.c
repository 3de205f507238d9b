// SPDX-License-Identifier: MIT
// A net's text from any bytes: it is refused in one sentence, or it is a model, whose description is the same model again, in one
// line and in many.
#include "fuzz.h"

#include "nn/graph/syntax.h"
#include "nn/model.h"
#include <string.h>

static const struct shk_shape shape = {12, 9, 3, 4};

// The description of a net, with lines for its items; to be freed.
static char *in_lines(const char *description) {
    struct shk_error err;
    struct shk_syntax *syntax = malloc(sizeof *syntax);
    must(syntax && shk_syntax_read(syntax, description + 4, &err));
    const size_t length = shk_syntax_write(syntax, SHK_MANY_LINES, NULL, 0);
    char *text = malloc(length + 5);
    must(text != NULL);
    memcpy(text, "net:", 4);
    must(shk_syntax_write(syntax, SHK_MANY_LINES, text + 4, length + 1) == length && strlen(text) == length + 4);
    free(syntax);
    return text;
}

static void check_same(const struct shk_model *m, const char *text) {
    struct shk_error err;
    struct shk_model *again = shk_model_outline(text, &shape, &err);
    must(again && strcmp(again->config.description, m->config.description) == 0);
    must(again->graph.count == m->graph.count && again->parameters == m->parameters);
    for (unsigned i = 0; i < m->param_count; i++) must(strcmp(again->params[i].name, m->params[i].name) == 0);
    shk_model_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
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
    char *const lines = in_lines(m->config.description);
    check_same(m, m->config.description);
    check_same(m, lines);
    free(lines);
    shk_model_free(m);
    return 0;
}
