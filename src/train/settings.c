// SPDX-License-Identifier: MIT
// Completes the options of a training from the table of settings, and says what follows from them.
#include "train/settings.h"

#include "settings/settings.h"
#include "train/shards.h"

bool shk_settings_check(const struct shk_train_options *options, struct shk_train_options *out, struct shk_error *err) {
    *out = options ? *options : (struct shk_train_options){0};
    return shk_train_options_complete(out, err);
}

size_t shk_train_shards(const struct shk_train_options *options) {
    struct shk_train_options o;
    if (!shk_settings_check(options, &o, NULL)) return 0;
    const struct shk_cut cut = shk_cut_of(o.batch, o.shards);
    return cut.blocks * cut.shards;
}

bool shk_shapes_agree(const struct shk_model *m, const struct shk_dataset *d, struct shk_error *err) {
    const struct shk_shape a = m->shape, b = shk_dataset_shape(d);
    if (a.height == b.height && a.width == b.width && a.channels == b.channels && a.classes == b.classes) return true;
    return shk_fail(err, SHK_BAD_INPUT,
                    "the model takes images of %zux%zux%zu in %zu classes, but the data set has %zux%zux%zu in %zu",
                    a.height, a.width, a.channels, a.classes, b.height, b.width, b.channels, b.classes);
}
