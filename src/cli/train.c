// SPDX-License-Identifier: MIT
// shikaku train: one model on squares.
#include "cli/one_model.h"

int cli_train(int argc, char **argv) {
    const struct one_model settings = one_model_parse(
        "train",
        "Trains one model on images of squares and prints loss, test accuracy, speed and a hash of the weights.",
        run_defaults.epochs, argc, argv);
    struct run run = run_create(&settings.run);
    struct contender contender = contender_create(&run, settings.model);
    if (run_print_device(&run)) contender_train(&contender, &run);
    run_check_quota(&run);
    contender_free(&contender);
    run_free(&run);
    return cli_finish_output();
}
