// SPDX-License-Identifier: MIT
// A picture is brought to the size that a model takes, in whole numbers, so that every machine gets the same bytes.
#ifndef SHK_DATA_PICTURES_FIT_H
#define SHK_DATA_PICTURES_FIT_H

#include "data/pictures/picture.h"
#include <shikaku/data.h>

// Along each axis: where it shrinks, the mean of the area that a pixel covers; where it grows, linear between the centres of
// pixels. Weights are whole 1/65,536, and a pixel is rounded once for each axis (1/256 in between).
// stretch: both axes by themselves. crop: the middle, as much as has the wanted aspect. letterbox: all of it in the middle,
// with `background` beside it. Grey becomes RGB by copies, RGB becomes grey by 0.299, 0.587 and 0.114 (ITU-R BT.601).
struct shk_fitting {
    enum shk_fit fit;
    size_t height, width, channels;
    uint8_t background;
};
// to: [height][width][channels].
bool shk_picture_fit(const struct shk_picture *, const struct shk_fitting *, uint8_t *to, struct shk_error *);

#endif
