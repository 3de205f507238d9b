// SPDX-License-Identifier: MIT
// Trains TinyCNN on a folder of pictures in folders of classes, saves it, loads it, and asks it what a picture shows.
//   gcc $(pkg-config --cflags shikaku) train_folder.c $(pkg-config --libs shikaku)
//   ./a.out PICTURES MODEL.safetensors PICTURE
#include <shikaku/data.h>
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <stdlib.h>

static void check(bool ok, const struct shk_error *error) {
    if (ok) return;
    fprintf(stderr, "train_folder: %s\n", error->text);
    exit(1);
}

static void train(const struct shk_runtime *runtime, const char *folder, const char *file) {
    struct shk_error error;
    const struct shk_data_options source = {.spec = folder, .split = 0.1};
    const struct shk_train_options options = {.batch = 64, .seed = 1};
    struct shk_data *data = shk_data_open(&source, runtime, &error);
    check(data, &error);
    const struct shk_dataset *pictures = shk_data_part(data, SHK_PART_TRAIN), *val = shk_data_part(data, SHK_PART_VAL);
    const struct shk_shape shape = shk_dataset_shape(pictures);
    struct shk_model *model = shk_model_create("tinycnn", &shape, 1, &error);
    check(model, &error);
    struct shk_trainer *trainer = shk_trainer_create(model, runtime, &options, &error);
    check(trainer && shk_train(trainer, pictures, val, 10, NULL, &error), &error);
    printf("accuracy on val: %.3f in epoch %zu\n", shk_trainer_best(trainer).test.accuracy,
           shk_trainer_best(trainer).epoch);
    check(shk_trainer_save_best(trainer, file, NULL, 0, &error), &error);
    shk_trainer_free(trainer);
    shk_model_free(model);
    shk_data_free(data);
}

static void ask(const struct shk_runtime *runtime, const char *file, const char *picture) {
    struct shk_error error;
    struct shk_model *model = shk_model_load(file, &error);
    check(model, &error);
    struct shk_pictures *pictures = shk_pictures_open(model, &picture, 1, runtime, &error);
    check(pictures, &error);
    if (shk_pictures_error(pictures, 0)) fprintf(stderr, "train_folder: %s\n", shk_pictures_error(pictures, 0));
    const size_t classes = shk_model_shape(model).classes;
    float *logits = malloc(classes * sizeof *logits);
    check(logits && shk_predict(model, runtime, shk_pictures_data(pictures), logits, &error), &error);
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (logits[c] > logits[best]) best = c;
    printf("%s: %s\n", picture, shk_model_class(model, best));
    free(logits);
    shk_pictures_free(pictures);
    shk_model_free(model);
}

int main(int argc, char **argv) {
    struct shk_error error;
    if (argc != 4) return 2;
    struct shk_runtime *runtime = shk_runtime_create(NULL, &error);
    check(runtime, &error);
    train(runtime, argv[1], argv[2]);
    ask(runtime, argv[2], argv[3]);
    shk_runtime_free(runtime);
    return 0;
}
