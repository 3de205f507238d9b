// SPDX-License-Identifier: MIT
// shikaku train: one model on squares.
#include "cli/one_model.h"
#include "cli/tuned.h"

#include <stdlib.h>

// What the tuning found, where neither an option nor a variable says otherwise.
static void apply(const struct tuned *t, struct run_settings *s) {
    const bool own_threads = s->threads || getenv("SHIKAKU_THREADS") || getenv("OMP_NUM_THREADS");
    if (!own_threads) s->threads = t->threads;
    if (!own_threads && !s->pin && !getenv("SHIKAKU_PIN")) s->pin = t->pin; // found with that many threads
    if (!getenv("SHIKAKU_ISA")) s->isa = t->isa;
    if (!s->shards) s->shards = t->shards;
}

static void use_tuned(struct one_model *settings, struct tuned *t) {
    const struct shk_shape shape = {settings->run.size, settings->run.size, 1, 9};
    struct shk_error error = {0};
    struct shk_machine *machine = shk_machine_create(NULL, &error);
    if (!machine) cli_die_error(&error);
    struct shk_model *model = shk_model_create(settings->model, &shape, settings->run.seed, &error);
    if (!model) cli_die_error(&error);
    struct tuned_key key;
    tuned_key_fill(&key, machine, model, settings->run.batch);
    if (!tuned_find(settings->tuned_file, &key, t))
        cli_die(CLI_USAGE,
                "nothing is tuned for this machine, model and batch: run 'shikaku tune --model %s --batch %zu'",
                settings->model, settings->run.batch);
    apply(t, &settings->run);
    cli_print("tuned: %s, %u thread%s, pinning %s; %.0f samples/s when measured\n", t->isa, t->threads,
              t->threads == 1 ? "" : "s", t->pin, t->samples_per_second);
    shk_model_free(model);
    shk_machine_free(machine);
}

int cli_train(int argc, char **argv) {
    struct one_model settings = one_model_parse(
        "train",
        "Trains one model on images of squares and prints loss, test accuracy, speed and a hash of the weights.",
        run_defaults.epochs, argc, argv);
    struct tuned tuned;
    if (settings.tuned) use_tuned(&settings, &tuned);
    struct run run = run_create(&settings.run);
    struct contender contender = contender_create(&run, settings.model);
    if (run_print_device(&run)) contender_train(&contender, &run);
    run_check_quota(&run);
    contender_free(&contender);
    run_free(&run);
    return cli_finish_output();
}
