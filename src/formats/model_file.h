// SPDX-License-Identifier: MIT
// What files of models and checkpoints have in common.
#ifndef SHK_FORMATS_MODEL_FILE_H
#define SHK_FORMATS_MODEL_FILE_H

#include "formats/safetensors.h"
#include "nn/model.h"

enum { SHK_FILE_VERSION = 1, SHK_TENSOR_NAME = 96 }; // of a tensor in a file: bytes with its prefix

// ---- Writing ----

// Begins a header: model, notes, and `kind`, "model" or "checkpoint".
bool shk_model_describe_in(struct shk_st_out *, const struct shk_model *, const char *kind,
                           const struct shk_note *notes, size_t note_count, struct shk_error *);
// One tensor for each parameter, named PREFIX and the parameter's name: its place in the header, and its numbers from an
// array that is laid out as the weights are. Numbers that are not finite are refused.
void shk_add_params(struct shk_st_out *, const struct shk_model *, const char *prefix);
bool shk_put_params(struct shk_st_out *, const struct shk_model *, const char *prefix, const float *padded,
                    const char *path, struct shk_error *);
// Numbers of the tensor `name`; not finite ones are refused.
bool shk_put_values(struct shk_st_out *, const char *name, const float *values, size_t n, const char *path,
                    struct shk_error *);
// A model's file with other weights than it has now, laid out in the same way; the place is that of shk_file_create.
bool shk_model_save_weights(const struct shk_model *, const float *weights, const struct shk_folder *, const char *path,
                            const struct shk_note *notes, size_t note_count, struct shk_error *);

// ---- Reading ----

// The version, the kind (NULL: any), and the metadata that must be there.
bool shk_check_kind(const struct shk_st *, const char *kind, struct shk_error *);
const char *shk_need_text(const struct shk_st *, const char *key, struct shk_error *); // of the metadata; NULL: lacking
bool shk_need_whole(const struct shk_st *, const char *key, uint64_t most, uint64_t *out, struct shk_error *);
bool shk_need_real(const struct shk_st *, const char *key, double *out, struct shk_error *);
// The tensors of all parameters: values[i] are those of parameter i, all finite, and not negative where that is asked.
bool shk_take_params(struct shk_st *, const struct shk_model *, const char *prefix, bool not_negative,
                     const float **values, struct shk_error *);
// Whether the tensors that nobody took are those that a checkpoint has beside the weights.
bool shk_check_others(struct shk_st *, struct shk_error *);
bool shk_check_values(const struct shk_st *, const struct shk_st_tensor *, bool not_negative, struct shk_error *);
// The model as a file of ours describes it, without place for weights.
struct shk_model *shk_st_outline(const struct shk_st *, struct shk_error *);
// The model of a file, with its weights; description and size are those of shk_weights_model.
struct shk_model *shk_st_model(struct shk_st *, const char *description, size_t size, struct shk_error *);
const char *shk_st_note(const struct shk_st *, const char *key); // NULL: there is none
// The model of a file in memory (shk_st_parse).
struct shk_model *shk_model_from_bytes(const char *path, const struct shk_bytes *, struct shk_error *);

#endif
