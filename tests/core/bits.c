// SPDX-License-Identifier: MIT
// Trains a model with the core alone (no src/machine, no command line), so that it can be cross-compiled, and prints what must be the same on every
// machine: losses and accuracy per epoch to the last bit, and the hash of the weights.
//   bits MODEL IMAGE_SIZE THREADS BATCH TRAIN_SAMPLES TEST_SAMPLES EPOCHS [CLIP_NORM]     (SHIKAKU_ISA chooses the kernels)
#include "base/runtime.h"
#include <omp.h>
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <stdlib.h>

static void run(const struct shk_team *team, shk_worker work, void *arg) {
#pragma omp parallel num_threads(team->workers)
    work(arg, (unsigned)omp_get_thread_num(), (unsigned)omp_get_num_threads());
}

static bool print_epoch(const struct shk_epoch *e, void *user) {
    (void)user;
    printf("epoch %zu loss %a test loss %a accuracy %a\n", e->epoch, e->train_loss, e->test.loss, e->test.accuracy);
    return true;
}

static int fail(const char *what) {
    fprintf(stderr, "bits: %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 8 && argc != 9)
        return fail("usage: bits MODEL IMAGE_SIZE THREADS BATCH TRAIN_SAMPLES TEST_SAMPLES EPOCHS [CLIP_NORM]");
    bool exists;
    struct shk_error err;
    struct shk_runtime runtime = {.kernels = shk_kernels_find(getenv("SHIKAKU_ISA"), &exists),
                                  .team = {.workers = (unsigned)atoi(argv[3]), .spin = 0, .run = run}};
    if (!runtime.kernels) return fail("no such ISA here");
    struct shk_squares_options squares = {
        .n = (size_t)atol(argv[5]), .size = (size_t)atol(argv[2]), .invert = 0.5, .seed = 1};
    struct shk_dataset *train = shk_dataset_squares(&squares, &err);
    if (!train) return fail(err.text);
    squares.n = (size_t)atol(argv[6]);
    squares.stream = 1;
    struct shk_dataset *test = shk_dataset_squares(&squares, &err);
    if (!test) return fail(err.text);
    struct shk_shape shape = shk_dataset_shape(train);
    struct shk_model *model = shk_model_create(argv[1], &shape, 1, &err);
    if (!model) return fail(err.text);
    struct shk_train_options options = {.batch = (size_t)atol(argv[4]), .seed = 1};
    if (argc == 9) options.clip_norm = atof(argv[8]);
    struct shk_trainer *trainer = shk_trainer_create(model, &runtime, &options, &err);
    if (!trainer) return fail(err.text);
    const struct shk_callbacks callbacks = {.on_epoch = print_epoch};
    if (!shk_train(trainer, train, test, (size_t)atol(argv[7]), &callbacks, &err)) return fail(err.text);
    printf("weights %016llx\n", (unsigned long long)shk_model_hash(model));
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(train);
    shk_dataset_free(test);
    return 0;
}
