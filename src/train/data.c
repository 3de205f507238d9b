// SPDX-License-Identifier: MIT
// Opens data as a model's input has to be.
#include "data/source.h"
#include "nn/model.h"

struct shk_data *shk_data_open_for(const struct shk_model *m, const struct shk_data_options *options,
                                   const struct shk_runtime *runtime, struct shk_error *err) {
    const struct shk_wanted wanted = {m->shape, &m->input.names, m->input.prepared};
    return shk_data_open_as(&wanted, options, runtime, err);
}
