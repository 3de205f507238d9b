// SPDX-License-Identifier: MIT
#include "train/settings.h"

#include "train/shards.h"

bool shk_settings_check(const struct shk_train_options *options, struct shk_train_options *out, struct shk_error *err) {
    *out = options ? *options : (struct shk_train_options){0};
    if (out->batch > SHK_MAX_BATCH)
        return shk_fail(err, SHK_BAD_INPUT, "a batch of %zu is not supported: use 1 to %d", out->batch, SHK_MAX_BATCH);
    if (out->shards > SHK_MAX_SHARDS)
        return shk_fail(err, SHK_BAD_INPUT, "%zu shards are not supported: use 1 to %d", out->shards, SHK_MAX_SHARDS);
    if (out->lr != 0 && !(out->lr > 0 && out->lr <= 1e3))
        return shk_fail(err, SHK_BAD_INPUT, "the learning rate is %g, but must be above 0 and at most 1000", out->lr);
    if (!(out->clip_norm >= 0))
        return shk_fail(err, SHK_BAD_INPUT,
                        "the gradients' largest norm is %g, but must be above 0, or 0 where they are not clipped",
                        out->clip_norm);
    if (out->batch == 0) out->batch = 64;
    if (out->shards == 0) out->shards = SHK_DEFAULT_SHARDS;
    if (out->lr == 0) out->lr = 1e-3;
    return true;
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
