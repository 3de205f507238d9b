// SPDX-License-Identifier: MIT
// shikaku profile: where a training step's time goes.
#include "cli/run.h"

enum { STEPS = 100 };

// Times per sample and thread; what is computed and moved, against the peaks of the threads together.
static bool print_rows(const struct shk_profile *p, size_t batch) {
    const double peak = p->peak_flops * p->threads, total = p->step_seconds * p->threads;
    bool ok = cli_print("%-34s %-18s %8s %6s %9s %8s %9s\n", "layer", "phase", "us", "share", "GFLOP/s", "of peak",
                        "of memory");
    for (size_t i = 0; i < p->rows && ok; i++) {
        const struct shk_profile_row *r = &p->row[i];
        const double thread_seconds = r->seconds / p->threads, rate = r->flops / thread_seconds;
        if (1e6 * r->seconds / (double)batch < 0.01) continue; // nothing to do in this phase
        ok = cli_print("%-34s %-18s %8.2f %5.1f%%", r->layer, r->phase, 1e6 * r->seconds / (double)batch,
                       100 * r->seconds / total);
        if (r->flops > 0) {
            ok = ok && cli_print(" %9.1f %7.0f%%", 1e-9 * rate, 100 * rate / peak);
        } else {
            ok = ok && cli_print(" %9s %8s", "", "");
        }
        if (r->bytes > 0) ok = ok && cli_print(" %8.0f%%", 100 * r->bytes / thread_seconds / p->bandwidth);
        ok = ok && cli_print("\n");
    }
    return ok;
}

static bool print_profile(const struct shk_profile *p, const struct shk_model *model, size_t batch) {
    const double rate = (double)batch / p->step_seconds, nominal = shk_model_training_flops(model) * rate;
    double flops = 0;
    for (size_t i = 0; i < p->rows; i++) flops += p->row[i].flops;
    const double done = flops / p->step_seconds, peak = p->peak_flops * p->threads;
    return cli_print("peaks: %.1f GFLOP/s a thread (FMA on registers), %.1f GB/s (memory, %u thread%s)\n\n",
                     1e-9 * p->peak_flops, 1e-9 * p->bandwidth, p->threads, p->threads == 1 ? "" : "s") &&
           print_rows(p, batch) &&
           cli_print("\nus: per sample, all threads' time together. of memory: each number counted once, whatever "
                     "cache it comes from.\n"
                     "%.0f samples/s (%.1f us a sample); %.3f MFLOP a sample are computed: %.1f GFLOP/s, %.2f of the "
                     "FMA peak\n"
                     "nominal %.3f MFLOP a sample (every layer dense, forward and backward): %.1f GFLOP/s, %.2f of the "
                     "FMA peak\n",
                     rate, 1e6 / rate, 1e-6 * flops / (double)batch, 1e-9 * done, done / peak,
                     1e-6 * shk_model_training_flops(model), 1e-9 * nominal, nominal / peak);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
    if (key != ARGP_KEY_INIT) return cli_parse_common(key, arg, state);
    state->child_inputs[0] = state->input;
    return 0;
}

static bool takes(const struct shk_setting *s) {
    return s->section != SHK_SECTION_RUN && s->section != SHK_SECTION_OUTPUT && s != shk_setting_named("epochs");
}

static struct run_settings parse(int argc, char **argv) {
    static const struct argp_option options[] = {CLI_HELP_OPTION, {0}};
    const struct argp_child children[] = {{run_argp(takes), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Trains a model for 100 steps and prints where the time goes: per layer and phase, beside the peaks of "
               "this "
               "machine.",
        .children = children,
    };
    struct run_settings settings = run_defaults();
    cli_parse(&argp, "shikaku profile", argc, argv, &settings);
    run_need_model("profile", &settings);
    return settings;
}

int cli_profile(int argc, char **argv) {
    const struct run_settings settings = parse(argc, argv);
    struct run run = run_create(&settings);
    const struct shk_train_options train = settings.values.train;
    const struct shk_shape shape = shk_dataset_shape(run.train);
    struct shk_profile profile;
    struct shk_error error = {0};
    struct shk_model *model = shk_model_create(settings.values.model, &shape, train.seed, &error);
    if (!model) cli_die_error(&error);
    if (!shk_profile_train(model, run.runtime, run.train, &train, STEPS, &profile, &error)) cli_die_error(&error);
    if (run_print_device(&run)) print_profile(&profile, model, train.batch);
    run_check_quota(&run);
    shk_profile_free(&profile);
    shk_model_free(model);
    run_free(&run);
    return cli_finish_output();
}
