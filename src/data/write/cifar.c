// SPDX-License-Identifier: MIT
// Writes CIFAR-10's or CIFAR-100's binary files (www.cs.toronto.edu/~kriz/cifar.html).
#include "data/write/write.h"
#include <stdio.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, RGB = 3, FEW = 10, MANY = 100, BATCHES = 5 };

static bool check(const struct shk_writing *w, struct shk_error *err) {
    const struct shk_shape s = shk_writing_shape(w);
    if (s.height != SIDE || s.width != SIDE || (s.channels != 1 && s.channels != RGB))
        return shk_fail(err, SHK_BAD_INPUT,
                        "CIFAR has images of 32x32 pixels, RGB, but these have %zux%zu and %zu channels: pictures are "
                        "brought to that by --size 32 --channels 3",
                        s.height, s.width, s.channels);
    if (s.classes > MANY)
        return shk_fail(err, SHK_BAD_INPUT, "CIFAR-100 has 100 classes, but these data have %zu: use another form",
                        s.classes);
    return !w->data->parts[SHK_PART_VAL] ||
           shk_fail(err, SHK_BAD_INPUT, "CIFAR has train and test, but these data have a val part: use another form");
}

static void say(const struct shk_writing *w) {
    const struct shk_shape s = shk_writing_shape(w);
    char text[100];
    if (s.channels == 1) shk_writing_note(w, "grey images become RGB: CIFAR has no others");
    if (s.classes == FEW || s.classes == MANY) return;
    snprintf(text, sizeof text, "CIFAR-%d has %d classes: those from %zu on stay empty, and names are not kept",
             s.classes < FEW ? FEW : MANY, s.classes < FEW ? FEW : MANY, s.classes);
    shk_writing_note(w, text);
}

// One label or, of CIFAR-100, a coarse one of 0 and the label; then planes of red, green and blue.
static bool put_record(const struct shk_writing *w, struct shk_file_out *f, enum shk_part part, size_t sample,
                       struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const size_t channels = d->shape.channels;
    const unsigned char labels[] = {0, (unsigned char)d->labels[sample]};
    const bool few = d->shape.classes <= FEW;
    unsigned char planes[RGB * PLANE];
    if (!shk_writing_goes_on(w, err) || !shk_writing_bytes(w, part, sample, err)) return false;
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < RGB; c++) planes[c * PLANE + i] = w->bytes[i * channels + (channels == RGB ? c : 0)];
    shk_file_put(f, labels + few, sizeof labels - few);
    shk_file_put(f, planes, sizeof planes);
    return true;
}

static bool write_batch(const struct shk_writing *w, const char *name, enum shk_part part, size_t begin, size_t end,
                        struct shk_error *err) {
    struct shk_file_out f;
    if (!shk_writing_create(w, &f, name, err)) return false;
    for (size_t i = begin; i < end; i++) {
        if (put_record(w, &f, part, i, err)) continue;
        shk_file_abandon(&f);
        return false;
    }
    return shk_file_finish(&f, err);
}

// Five batches of CIFAR-10; one where there are fewer samples.
static bool write_train(const struct shk_writing *w, struct shk_error *err) {
    const size_t n = w->data->parts[SHK_PART_TRAIN]->n, batches = n < BATCHES ? 1 : BATCHES;
    char name[40];
    if (shk_writing_shape(w).classes > FEW) return write_batch(w, "train.bin", SHK_PART_TRAIN, 0, n, err);
    for (size_t i = 0; i < batches; i++) {
        snprintf(name, sizeof name, "data_batch_%zu.bin", i + 1);
        if (!write_batch(w, name, SHK_PART_TRAIN, n * i / batches, n * (i + 1) / batches, err)) return false;
    }
    return true;
}

static bool write_names(const struct shk_writing *w, struct shk_error *err) {
    const struct shk_names *names = &w->data->parts[SHK_PART_TRAIN]->names;
    struct shk_file_out f;
    if (names->count != FEW && names->count != MANY) return true;
    for (size_t i = 0; i < names->count; i++)
        if (strpbrk(names->names[i], "\r\n"))
            return shk_fail(err, SHK_BAD_INPUT, "the name of class %zu has several lines, which CIFAR cannot hold", i);
    if (!shk_writing_create(w, &f, names->count == FEW ? "batches.meta.txt" : "fine_label_names.txt", err))
        return false;
    for (size_t i = 0; i < names->count; i++) {
        shk_file_put(&f, names->names[i], strlen(names->names[i]));
        shk_file_put(&f, "\n", 1);
    }
    return shk_file_finish(&f, err);
}

bool shk_write_cifar(const struct shk_writing *w, struct shk_error *err) {
    const struct shk_dataset *test = w->data->parts[SHK_PART_TEST];
    const char *name = shk_writing_shape(w).classes <= FEW ? "test_batch.bin" : "test.bin";
    if (!check(w, err)) return false;
    say(w);
    return write_train(w, err) && (!test || write_batch(w, name, SHK_PART_TEST, 0, test->n, err)) &&
           write_names(w, err);
}
