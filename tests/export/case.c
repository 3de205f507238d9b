// SPDX-License-Identifier: MIT
// export_case DESCRIPTION HEIGHT WIDTH CHANNELS CLASSES DIR makes a model and writes it in every form, with 100 images of random
// bytes (pixels.u8, NHWC) and their logits (logits.f32): what tests/export_runs.sh holds other programs' logits against.
#include "nn/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 100 };

static uint32_t state = 12345;
static uint32_t draw(void) { return (state = state * 1664525u + 1013904223u) >> 8; }
static float draw_real(float spread) { return spread * ((float)draw() / 0x1p23f - 1); }

static void fail(const char *what) {
    fprintf(stderr, "export_case: %s\n", what);
    exit(1);
}

// What starts at 0 or 1 is moved off it, and the input has a normalisation and names of classes.
static void disturb(struct shk_model *m) {
    for (size_t i = 0; i < shk_model_tensor_count(m); i++) {
        const struct shk_tensor_info t = shk_model_tensor(m, i);
        float *values = calloc(t.size, sizeof *values);
        shk_model_get_tensor(m, i, values);
        for (size_t k = 0; k < t.size; k++) values[k] += draw_real(0.05f);
        shk_model_set_tensor(m, i, values);
        free(values);
    }
    m->input.prepared.normalised = true;
    for (size_t c = 0; c < m->shape.channels; c++) {
        m->input.prepared.mean[c] = 0.4f + 0.1f * (float)c;
        m->input.prepared.deviation[c] = 0.2f + 0.07f * (float)c;
    }
    for (size_t i = 0; i < m->shape.classes; i++) {
        char name[32];
        snprintf(name, sizeof name, "it's \"%zu\" \xc3\xa9", i);
        shk_names_add(&m->input.names, name, NULL);
    }
}

static void save(const char *dir, const char *name, const void *bytes, size_t size) {
    char path[4096];
    struct shk_error error = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (!shk_write_file(path, bytes, size, &error)) fail(error.text);
}

static void predict(const struct shk_model *m, const struct shk_runtime *runtime, const char *dir) {
    const struct shk_shape s = m->shape;
    const size_t n = IMAGES * s.height * s.width * s.channels;
    uint8_t *pixels = malloc(n);
    uint32_t *labels = calloc(IMAGES, sizeof *labels);
    float *logits = calloc(IMAGES * s.classes, sizeof *logits);
    struct shk_error error = {0};
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)(draw() >> 8);
    struct shk_dataset *d = shk_dataset_copy_bytes(pixels, labels, IMAGES, &s, &error);
    if (!d) fail(error.text);
    shk_dataset_normalise(d, m->input.prepared.mean, m->input.prepared.deviation);
    if (!shk_predict(m, runtime, d, logits, &error)) fail(error.text);
    save(dir, "pixels.u8", pixels, n);
    save(dir, "logits.f32", logits, IMAGES * s.classes * sizeof *logits);
    shk_dataset_free(d);
    free(pixels);
    free(labels);
    free(logits);
}

int main(int argc, char **argv) {
    struct shk_error error = {0};
    char path[3][4096];
    if (argc != 7) fail("six arguments are needed");
    const struct shk_shape shape = {strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10),
                                    strtoul(argv[5], NULL, 10)};
    const char *dir = argv[6];
    struct shk_runtime *runtime = shk_runtime_create(NULL, &error);
    struct shk_model *m = runtime ? shk_model_create(argv[1], &shape, 7, &error) : NULL;
    if (!m) fail(error.text);
    disturb(m);
    predict(m, runtime, dir);
    snprintf(path[0], sizeof path[0], "%s/model.safetensors", dir);
    snprintf(path[1], sizeof path[1], "%s/model.onnx", dir);
    snprintf(path[2], sizeof path[2], "%s/model.c", dir);
    if (!shk_model_save(m, path[0], NULL, 0, &error) || !shk_model_export_onnx(m, path[1], &error) ||
        !shk_model_export_c(m, runtime, path[2], &error))
        fail(error.text);
    shk_model_free(m);
    shk_runtime_free(runtime);
    return 0;
}
