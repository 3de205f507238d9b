// SPDX-License-Identifier: MIT
// Trains TinyCNN on images of squares for two epochs and evaluates it on fresh ones, through the public API.
//   gcc $(pkg-config --cflags shikaku) train_squares.c $(pkg-config --libs shikaku)
#include <inttypes.h>
#include <shikaku/shikaku.h>
#include <stdio.h>

static bool print_epoch(const struct shk_epoch *epoch, void *user) {
    (void)user;
    printf("epoch %zu: loss %.4f, %.0f samples/s\n", epoch->epoch, epoch->train_loss, epoch->samples_per_second);
    return true; // go on
}

static bool train_and_evaluate(struct shk_error *error) {
    const struct shk_squares_options train_options = {.n = 5000, .invert = 0.5, .stream = 0};
    const struct shk_squares_options test_options = {.n = 1000, .invert = 0.5, .stream = 1};
    const struct shk_train_options options = {.batch = 64, .lr = 1e-3, .seed = 1};
    struct shk_runtime *runtime = shk_runtime_create(NULL, error);
    struct shk_dataset *train = runtime ? shk_dataset_squares(&train_options, error) : NULL;
    struct shk_dataset *test = train ? shk_dataset_squares(&test_options, error) : NULL;
    const struct shk_shape shape = test ? shk_dataset_shape(test) : (struct shk_shape){0};
    struct shk_model *model = test ? shk_model_create("tinycnn", &shape, 1, error) : NULL;
    struct shk_trainer *trainer = model ? shk_trainer_create(model, runtime, &options, error) : NULL;
    const struct shk_callbacks callbacks = {.on_epoch = print_epoch};
    struct shk_metrics metrics;
    const bool ok = trainer && shk_train(trainer, train, NULL, 2, &callbacks, error) &&
                    shk_evaluate(model, runtime, test, &metrics, error);
    if (ok) printf("test accuracy: %.3f\nweights: %016" PRIx64 "\n", metrics.accuracy, shk_model_hash(model));
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_dataset_free(test);
    shk_dataset_free(train);
    shk_runtime_free(runtime);
    return ok;
}

int main(void) {
    struct shk_error error;
    if (train_and_evaluate(&error)) return 0;
    fprintf(stderr, "train_squares: %s\n", error.text);
    return 1;
}
