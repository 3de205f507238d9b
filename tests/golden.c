// SPDX-License-Identifier: MIT
// Parses a file of golden values, which a script made with PyTorch, and checks every length in it.
#include "golden.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "SHKGOLD\n";

// What is left of the file. A read past the end sets `problem`, gives zeros and lets the parser run on to its next
// check.
struct cursor {
    const unsigned char *at;
    size_t left; // bytes
    const char *problem;
};

static const unsigned char *take(struct cursor *c, size_t bytes) {
    if (c->problem || bytes > c->left) {
        if (!c->problem) c->problem = "it is cut short";
        return NULL;
    }
    const unsigned char *start = c->at;
    c->at += bytes;
    c->left -= bytes;
    return start;
}

static uint32_t decode_u32(const unsigned char *b) {
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint32_t take_u32(struct cursor *c) {
    const unsigned char *b = take(c, 4);
    return b ? decode_u32(b) : 0;
}

// text: [size]
static void take_text(struct cursor *c, char *text, size_t size) {
    uint32_t length = take_u32(c);
    if (!c->problem && length >= size) c->problem = "a name or description in it is too long";
    const unsigned char *bytes = take(c, length);
    if (!bytes) return;
    memcpy(text, bytes, length);
    text[length] = '\0';
}

// An array of `count` values of 4 bytes, or NULL.
static void *take_words(struct cursor *c, size_t count) {
    const unsigned char *bytes = count <= c->left / 4 ? take(c, 4 * count) : take(c, SIZE_MAX);
    if (!bytes) return NULL;
    uint32_t *words = malloc(4 * count + 4);
    if (!words) c->problem = "there is no memory for it";
    for (size_t i = 0; words && i < count; i++) words[i] = decode_u32(bytes + 4 * i);
    return words;
}

static void take_tensor(struct cursor *c, struct golden_tensor *t) {
    take_text(c, t->name, sizeof t->name);
    t->ndim = take_u32(c);
    if (!c->problem && t->ndim > GOLDEN_DIMS) c->problem = "a tensor in it has more than 4 dimensions";
    t->count = 1;
    for (uint32_t i = 0; i < GOLDEN_DIMS; i++) {
        t->dims[i] = !c->problem && i < t->ndim ? take_u32(c) : 1;
        if (t->dims[i] == 0 || t->count > c->left / t->dims[i]) {
            if (!c->problem) c->problem = "the dimensions of a tensor in it do not fit the file";
            return;
        }
        t->count *= t->dims[i];
    }
    t->data = take_words(c, t->count);
}

static void take_header(struct cursor *c, struct golden *g) {
    const unsigned char *start = take(c, sizeof magic);
    if (!start || memcmp(start, magic, sizeof magic) != 0) c->problem = "it is not a golden file";
    if (take_u32(c) != 1 && !c->problem) c->problem = "its version is not 1";
    take_text(c, g->description, sizeof g->description);
    uint32_t *fields[] = {&g->channels, &g->height, &g->width, &g->classes, &g->batch};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        *fields[i] = take_u32(c);
        if (!c->problem && *fields[i] == 0) c->problem = "its shape, classes or batch is 0";
    }
    g->labels = take_words(c, g->batch);
    for (uint32_t i = 0; g->labels && i < g->batch; i++)
        if (g->labels[i] >= g->classes) c->problem = "a label in it is not below the number of classes";
}

// NULL: c->problem says why.
static struct golden *parse(struct cursor *c) {
    struct golden *g = calloc(1, sizeof *g);
    if (!g) {
        c->problem = "there is no memory for it";
        return NULL;
    }
    take_header(c, g);
    uint32_t tensors = take_u32(c);
    if (!c->problem && tensors > c->left / 8) c->problem = "it is cut short";
    if (!c->problem) g->tensor = calloc((size_t)tensors + 1, sizeof *g->tensor);
    if (!c->problem && !g->tensor) c->problem = "there is no memory for it";
    for (; !c->problem && g->tensors < tensors; g->tensors++) take_tensor(c, &g->tensor[g->tensors]);
    if (!c->problem && c->left > 0) c->problem = "it has bytes after its end";
    if (!c->problem) return g;
    golden_free(g);
    return NULL;
}

static unsigned char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    // (a directory has a size of LONG_MAX)
    unsigned char *bytes = end >= 0 && end < 1L << 30 ? malloc((size_t)end + 1) : NULL;
    *size = (size_t)end;
    if (bytes && (fseek(file, 0, SEEK_SET) != 0 || fread(bytes, 1, *size, file) != *size)) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}

struct golden *golden_read(const char *path, char error[GOLDEN_ERROR]) {
    struct cursor c = {.problem = NULL};
    unsigned char *bytes = read_all(path, &c.left);
    struct golden *golden = NULL;
    c.at = bytes;
    if (bytes)
        golden = parse(&c);
    else
        c.problem = "it cannot be read";
    free(bytes);
    if (!golden) snprintf(error, GOLDEN_ERROR, "%.180s: %s", path, c.problem);
    return golden;
}

void golden_free(struct golden *golden) {
    if (!golden) return;
    for (uint32_t i = 0; i < golden->tensors; i++) free(golden->tensor[i].data);
    free(golden->tensor);
    free(golden->labels);
    free(golden);
}

const struct golden_tensor *golden_find(const struct golden *golden, const char *prefix, const char *name) {
    size_t length = strlen(prefix);
    for (uint32_t i = 0; i < golden->tensors; i++) {
        const struct golden_tensor *t = &golden->tensor[i];
        if (strncmp(t->name, prefix, length) == 0 && strcmp(t->name + length, name) == 0) return t;
    }
    return NULL;
}
