// SPDX-License-Identifier: MIT
// Shapes are checked against what data sets and models support.
#include "base/shape.h"

enum { MIN_SIZE = 8, MAX_SIZE = 256, MAX_CHANNELS = 4, MAX_CLASSES = 65536 };

bool shk_shape_check(const struct shk_shape *s, struct shk_error *err) {
    if (s->height < MIN_SIZE || s->height > MAX_SIZE || s->width < MIN_SIZE || s->width > MAX_SIZE)
        return shk_fail(err, SHK_BAD_INPUT,
                        "image size %zux%zu is not supported: height and width must be %d to %d pixels", s->height,
                        s->width, MIN_SIZE, MAX_SIZE);
    if (s->channels < 1 || s->channels > MAX_CHANNELS)
        return shk_fail(err, SHK_BAD_INPUT, "%zu image channels are not supported: use 1 to %d", s->channels,
                        MAX_CHANNELS);
    if (s->classes < 2 || s->classes > MAX_CLASSES)
        return shk_fail(err, SHK_BAD_INPUT, "%zu classes are not supported: use 2 to %d", s->classes, MAX_CLASSES);
    return true;
}
