// SPDX-License-Identifier: MIT
// Shikaku: trains small CNNs and ViTs on the CPU, with the same bits on any thread count, instruction set and compiler.
//
// Handles are opaque. Functions that can fail return NULL or false and fill *error (shikaku/error.h; NULL is allowed).
// A handle is used by one thread at a time; the library starts its own threads inside shk_train and shk_evaluate. It
// prints nothing and never exits. Images are f32, NHWC; labels are 0 .. classes-1. Pointers are not NULL unless it is
// said; NULL may be freed.
#ifndef SHIKAKU_SHIKAKU_H
#define SHIKAKU_SHIKAKU_H

#include <shikaku/data.h>
#include <shikaku/error.h>
#include <shikaku/machine.h>
#include <shikaku/version.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *shk_version(void); // of the library; SHK_VERSION is the headers'
struct shk_build_facts {       // how the library was built
    const char *commit;        // of its sources, with "-dirty" where they were changed; empty: not known
    const char *compiler, *flags;
};
struct shk_build_facts shk_build_facts(void);
// What the bits depend on beside model, data, seed and options: raised with every change that alters results.
enum { SHK_NUMERICS_VERSION = 15 };

// ---- The machine: kernels and threads ----

// The instruction sets that this CPU and this build have, weakest first; NULL past the last.
const char *shk_isa_at(size_t index);
// The one that a runtime with this option would use; NULL and *error where there is none.
const char *shk_isa_choose(const char *option, struct shk_error *error);

struct shk_runtime;
struct shk_runtime_options {
    const char *isa; // "auto", "c", "avx2", "avx512", "neon"; NULL: SHIKAKU_ISA, else auto
    unsigned
        threads; // 0: SHIKAKU_THREADS, else OMP_NUM_THREADS, else one for each fast core that this process may use, within
                 // the cgroup's quota and `tasks`
    const char
        *pin; // "auto", "cores", "compact", "scatter", "none", or CPUs such as "0-3,8"; NULL: SHIKAKU_PIN, else auto
    size_t tasks; // most tasks that a step has (shk_train_shards); 0: unknown
};
// options may be NULL. An environment variable with a value that makes no sense is an error. Threads are pinned while the
// library works, and have their former masks afterwards.
struct shk_runtime *shk_runtime_create(const struct shk_runtime_options *options, struct shk_error *error);
void shk_runtime_free(struct shk_runtime *);
const char *shk_runtime_isa(const struct shk_runtime *);
unsigned shk_runtime_threads(const struct shk_runtime *);
const char *shk_runtime_describe(const struct shk_runtime *); // one line: how many threads, which, why
// Sentences without a full stop, each with its remedy.
unsigned shk_runtime_warnings(const struct shk_runtime *);
const char *shk_runtime_warning(const struct shk_runtime *, unsigned index);
// Adds a warning for each that has held this process up since the runtime was created, or this was last called: the cgroup's
// quota, other programs on its CPUs.
void shk_runtime_check(struct shk_runtime *);

// ---- Models ----

struct shk_model;
// description: a preset (tinycnn, tinyvit, tinyvit-pre, tinyvit-nopos, lenet5, resnet20, resnet18, mobilenet-tiny, convmixer,
// cct, vit-tiny; the last six take keys, as resnet20:width=8) or
//   cnn:channels=16-32,hidden=128             (per entry: 3x3 convolution, ReLU, 2x2 max-pool; hidden=0: none)
//   vit:dim=64,depth=2,heads=4,patch=4,ff=256,pool=cls|mean,norm=post|pre,pos=learned|none,dropout=0.1,act=relu|gelu
// Keys that are left out have the values above. Weights are drawn from PyTorch's default distributions, keyed by seed.
struct shk_model *shk_model_create(const char *description, const struct shk_shape *shape, uint64_t seed,
                                   struct shk_error *error);
void shk_model_free(struct shk_model *);
const char *
shk_model_title(const struct shk_model
                    *); // "TinyCNN", "TinyViT", ...; where it is no preset the description without what has its default
const char *shk_model_description(const struct shk_model *); // in full
struct shk_shape shk_model_shape(const struct shk_model *);
size_t shk_model_parameters(const struct shk_model *); // how many numbers
// What shk_train took over from its training data, and a file keeps: the name of a class, UTF-8, or NULL where it has a number
// only; and how images become the model's input.
const char *shk_model_class(const struct shk_model *, size_t label);
struct shk_preprocessing shk_model_preprocessing(const struct shk_model *);
double shk_model_training_flops(const struct shk_model *); // nominal, one sample, forward + backward, every layer dense
// XXH3-64 of all weights in PyTorch's names, order and layout, without padding, little-endian.
uint64_t shk_model_hash(const struct shk_model *);

// The weights as PyTorch's state_dict has them.
struct shk_tensor_info {
    const char *name; // e.g. "encoder.layers.0.linear1.weight"
    size_t dims[4];
    unsigned ndim;
    size_t size; // product of dims
};
size_t shk_model_tensor_count(const struct shk_model *);
struct shk_tensor_info shk_model_tensor(const struct shk_model *, size_t index);
void shk_model_get_tensor(const struct shk_model *, size_t index, float *out); // size floats
// Of a model whose training went wrong (shk_train): it can be used again when all of its tensors have been set.
void shk_model_set_tensor(struct shk_model *, size_t index, const float *values); // size floats

// ---- Training ----

struct shk_trainer;
enum { SHK_MAX_BATCH = 65536, SHK_MAX_SHARDS = 1024 };
struct shk_train_options { // 0 stands for the default
    size_t batch;          // 64
    size_t shards;         // 64 for each block of at most 256 samples; fixes the order of sums, not the schedule
    double lr;             // 1e-3
    double beta1, beta2;   // of Adam, above 0 and below 1: 0.9, 0.999
    double eps;            // of Adam: 1e-8
    double clip_norm;      // largest L2 norm of all gradients together, which are scaled down to it; INFINITY: none;
                           // 0: none, in fewer passes over the gradients and with the same bits
    uint64_t seed;         // of shuffling and dropout; 0 is a seed
    char freeze[256]; // tensors that stay as they are: patterns as fnmatch has them, with commas between, on the names
                      // of shk_model_tensor; empty: none
};
// Adam, cross-entropy, shuffled every epoch, last short batch included. The trainer keeps
// the optimizer's state; model and runtime must outlive it.
struct shk_trainer *shk_trainer_create(struct shk_model *, const struct shk_runtime *, const struct shk_train_options *,
                                       struct shk_error *error);
void shk_trainer_free(struct shk_trainer *);
size_t shk_trainer_shards(const struct shk_trainer *);
// The shards that a trainer with these options would have: no step has use for more threads. 0: they make no sense.
size_t shk_train_shards(const struct shk_train_options *);

struct shk_metrics {
    double loss;     // mean over the samples
    double accuracy; // 0 .. 1
};
struct shk_step {
    size_t epoch; // 1, 2, ... over the trainer's life
    size_t step;  // 1, 2, ... in the epoch
    double loss;  // mean over the step's samples
};
struct shk_epoch {
    size_t epoch;            // 1, 2, ... over the trainer's life
    double train_loss;       // sample-weighted mean over the epoch
    struct shk_metrics test; // NaN without a test set
    bool best;               // the test's accuracy, or else its loss, is better than in all epochs before
    double train_seconds, samples_per_second; // of the training steps alone
};
// Called by one of the library's threads after each step and each epoch; each may be NULL. False ends the training there:
// shk_train then returns true, and may be called again to go on. They must not use the trainer or its model.
struct shk_callbacks {
    bool (*on_step)(const struct shk_step *, void *user);
    bool (*on_epoch)(const struct shk_epoch *, void *user);
    void *user;
};
// Trains until `epochs` epochs are complete over the trainer's life; test and callbacks may be NULL. An epoch that was
// ended goes on with the same data, from a checkpoint too. Other data there, and weights that are not finite, are refused:
// SHK_BAD_INPUT.
// A loss or gradient that is not finite, or with clip_norm (but INFINITY) the gradients' norm, ends the training: false,
// SHK_FAILED, and the error names epoch, step, and the first layer or parameter in which it is so. The step does not
// count, and on_step does not see it. The model then refuses to be trained or evaluated until other weights were loaded or
// all of its tensors set. Where they were set by hand, training goes on from the trainer's position with those weights and
// a new optimizer: moments and step count of zero.
bool shk_train(struct shk_trainer *, const struct shk_dataset *train, const struct shk_dataset *test, size_t epochs,
               const struct shk_callbacks *callbacks, struct shk_error *error);
// Where the training is.
struct shk_position {
    size_t epoch; // epochs that are complete
    size_t step;  // steps of the next one that are done
};
struct shk_position shk_trainer_position(const struct shk_trainer *);
// The epoch with the best test so far; epoch 0: none.
struct shk_best {
    size_t epoch;
    struct shk_metrics test;
};
struct shk_best shk_trainer_best(const struct shk_trainer *);
bool shk_evaluate(const struct shk_model *, const struct shk_runtime *, const struct shk_dataset *,
                  struct shk_metrics *out, struct shk_error *error);

struct shk_class_scores {
    size_t samples, predicted, right;
    double precision, recall, f1; // NaN: nothing was predicted to be of this class; or it has no samples
};
struct shk_evaluation {
    struct shk_metrics metrics;
    size_t samples, classes;
    size_t k;                          // min(5, classes)
    double top_k;                      // share of samples whose label has one of the k greatest logits
    struct shk_class_scores *of_class; // [classes]
    size_t *confusion;                 // [classes: label][classes: predicted]; NULL: more than 2,048 classes
    // Means over the classes that have samples; a class that was never predicted has a precision of 0. Over all samples, the
    // micro means, precision, recall and F1 are the accuracy.
    double macro_precision, macro_recall, macro_f1;
};
// NULL and *error where it fails.
struct shk_evaluation *shk_evaluation_create(const struct shk_model *, const struct shk_runtime *,
                                             const struct shk_dataset *, struct shk_error *error);
void shk_evaluation_free(struct shk_evaluation *);

// ---- Prediction ----

// Logits of all images, [n][classes], on the runtime's threads; labels are not looked at. Those of an image do not depend on
// what is predicted with it.
bool shk_predict(const struct shk_model *, const struct shk_runtime *, const struct shk_dataset *, float *logits,
                 struct shk_error *error);
// One image at a time on the calling thread, with little delay and the same bits; allocates nothing but here. The model must
// outlive it and keep its weights. One predictor is used by one thread at a time.
struct shk_predictor;
struct shk_predictor *shk_predictor_create(const struct shk_model *, const struct shk_runtime *,
                                           struct shk_error *error);
void shk_predictor_free(struct shk_predictor *);
// pixels: [height][width][channels], as the model sees them (shk_dataset_pixels); logits: [classes].
void shk_predictor_run(struct shk_predictor *, const float *pixels, float *logits);
// Probabilities of logits, [classes]: exp(z - max) / sum, in double, in this order.
void shk_softmax(const float *logits, size_t classes, float *probabilities);

// ---- Files ----
//
// safetensors (github.com/huggingface/safetensors): weights with PyTorch's names and layouts, the rest as metadata, with a
// checksum over all of the file. Written whole or not at all: beside their place as PATH.XXXXXXXX.new, a name that no two
// writers share, to the disk, then renamed. Where the folder was moved or removed meanwhile, nothing is written elsewhere.

struct shk_note { // the caller's own metadata
    const char *key, *value;
};
// The model's weights. `notes` may be NULL where there are none.
bool shk_model_save(const struct shk_model *, const char *path, const struct shk_note *notes, size_t note_count,
                    struct shk_error *error);
// The model of a file of shk_model_save, shk_trainer_save or shk_trainer_save_best.
// Or of safetensors of another tool, in any order, F32, F64, F16 or BF16, names with "module.", "_orig_mod." or "model." before
// them: then it is the preset, on square images, whose tensors are in the file, and there are no others.
struct shk_model *shk_model_load(const char *path, struct shk_error *error);
bool shk_model_guessed(const struct shk_model *); // its file did not say what it is
// Such a file, read once: for its model and notes, or for weights to start other models from (fine-tuning).
struct shk_weights;
struct shk_weights *shk_weights_open(const char *path, struct shk_error *error);
void shk_weights_free(struct shk_weights *);
// What the file says: of which model the weights are, and which preprocessing they expect; NULL, false: it does not say, or
// (error->code is not SHK_OK) what makes no sense.
const char *shk_weights_description(const struct shk_weights *);
bool shk_weights_preprocessing(const struct shk_weights *, struct shk_preprocessing *out, struct shk_error *error);
const char *shk_weights_note(const struct shk_weights *, const char *key); // NULL: none; it belongs to the handle
// Its model. Another tool's file may be of a description that the caller knows, and of images of size x size pixels; NULL and 0:
// of any preset and size that fits. A file that says what it is must be that.
struct shk_model *shk_weights_model(struct shk_weights *, const char *description, size_t size,
                                    struct shk_error *error);
struct shk_started {
    uint64_t hash;        // of the file's weights, as shk_model_hash has it
    size_t classes;       // of the file
    const char *new_head; // the last linear layer, which stays as it is, since the model has other classes; or NULL
};
// Sets the model's weights to those of the file. The number of classes may be another one; a tensor that is missing, one more,
// or another shape is refused, and nothing has changed then. `started` may be NULL.
bool shk_model_start(struct shk_model *, struct shk_weights *, struct shk_started *started, struct shk_error *error);

// A note of such a file, to be freed with free(); NULL: it has none (error->code is SHK_OK) or cannot be read.
char *shk_file_note(const char *path, const char *key, struct shk_error *error);

// The model for ONNX Runtime and others: ONNX, opset 17. Input "pixels", f32 [batch][channels][height][width] with values 0 .. 1,
// a batch of any size; output "logits", f32 [batch][classes]. Normalisation is inside; class names, fit, background and size
// are metadata.
bool shk_model_export_onnx(const struct shk_model *, const char *path, struct shk_error *error);
// The same as one C99 file without dependencies, NAME.c: void NAME_predict(const float *pixels, float *logits), with pixels
// [height][width][channels]; NAME_predict_bytes; NAME_class_names where they have names; NAME_self_test. What it computes has
// the same bits with every compiler under -ffp-contract=off, but not those of shk_predict: sums have another order.
bool shk_model_export_c(const struct shk_model *, const struct shk_runtime *, const char *path,
                        struct shk_error *error);

// A checkpoint: weights, optimizer's state, position, losses of the epoch so far, best test. Not while shk_train runs.
bool shk_trainer_save(const struct shk_trainer *, const char *path, const struct shk_note *notes, size_t note_count,
                      struct shk_error *error);
// Puts the trainer and its model where the saved one was; model and options must be the same. Where it fails, nothing
// has changed.
bool shk_trainer_load(struct shk_trainer *, const char *path, struct shk_error *error);
// The weights of the best epoch since the trainer was created or loaded, or that of the checkpoint where it was the last one;
// fails where none was better than before.
bool shk_trainer_save_best(const struct shk_trainer *, const char *path, const struct shk_note *notes,
                           size_t note_count, struct shk_error *error);
// A file of bytes, whole or not at all; bytes may be NULL where size is 0.
bool shk_write_file(const char *path, const void *bytes, size_t size, struct shk_error *error);

// A folder that is held open, for files that belong together: they are written into this very folder, even where it was moved
// and another one has its name by now.
struct shk_folder;
struct shk_folder *shk_folder_open(const char *path, struct shk_error *error);
void shk_folder_close(struct shk_folder *);
int shk_folder_handle(const struct shk_folder *);  // its descriptor, for flock, openat and the like
bool shk_folder_stands(const struct shk_folder *); // its path still leads to it
// As those without _in; `name` is the file's, without a slash.
bool shk_trainer_save_in(const struct shk_trainer *, const struct shk_folder *, const char *name,
                         const struct shk_note *notes, size_t note_count, struct shk_error *error);
bool shk_trainer_save_best_in(const struct shk_trainer *, const struct shk_folder *, const char *name,
                              const struct shk_note *notes, size_t note_count, struct shk_error *error);
bool shk_write_file_in(const struct shk_folder *, const char *name, const void *bytes, size_t size,
                       struct shk_error *error);

// ---- Where the time goes ----

struct shk_profile_row {
    char layer[64];
    const char *phase; // "forward", "input gradient", "weight gradient", "reduce, optimizer", "waiting"
    double seconds;    // a step, all threads together
    double flops;      // a step: what is really computed
    double bytes;      // a step: what is read and written, each number once
};
struct shk_profile {
    unsigned threads;
    double step_seconds; // a step, on the clock
    double peak_flops;   // of one thread in a second while all run: FMAs on registers
    double bandwidth;    // bytes a second, all threads: a stream that is read and written
    double stream_bytes; // of that stream: a cache that holds it makes the bandwidth the cache's
    size_t rows;
    struct shk_profile_row *row;
};
// Trains the model for `steps` steps and tells where the time went. `data` holds at least a batch. Free with shk_profile_free.
bool shk_profile_train(struct shk_model *, const struct shk_runtime *, const struct shk_dataset *data,
                       const struct shk_train_options *options, size_t steps, struct shk_profile *out,
                       struct shk_error *error);
void shk_profile_free(struct shk_profile *);

#ifdef __cplusplus
}
#endif

#endif
