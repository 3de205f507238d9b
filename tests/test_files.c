// SPDX-License-Identifier: MIT
// Models and checkpoints that are saved and loaded: the training goes on with the same bits, on any machine.
#include "training.h"

#include <unistd.h>

static const struct shk_shape small = {8, 8, 1, 2}, images = {32, 32, 1, 9};
static const char *const models[] = {"tinycnn", "tinyvit-pre", "cnn:channels=3-5"};
static const struct shk_train_options batch20 = {.batch = 20}; // 3 steps an epoch
static const struct way simple = {NULL, 1};
static char folder[] = "/tmp/shikaku-files-XXXXXX", path[100], other[100];

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a.ckpt", folder);
    snprintf(other, sizeof other, "%s/b.ckpt", folder);
    return 0;
}

static int end(void **state) {
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder); // nothing else is left
}

static void save(const struct training *t, const char *to) {
    struct shk_error err;
    if (!shk_trainer_save(t->trainer, to, NULL, 0, &err)) fail_msg("%s", err.text);
}

static void load(struct training *t, const char *from) {
    struct shk_error err;
    if (!shk_trainer_load(t->trainer, from, &err)) fail_msg("%s", err.text);
}

static void same_files(const char *a, const char *b) {
    size_t n, m;
    char *x = read_file(a, &n), *y = read_file(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

// ---- The same bits

static void test_weights(void **state) {
    (void)state;
    const struct shk_note notes[] = {{"place", "epoch 1, \"\xc3\xa4\"\n\t\\"}, {"", ""}};
    for (size_t i = 0; i < 3; i++) {
        struct shk_error err;
        struct training t = training_of(models[i], &images, &batch20, simple);
        train(&t, 1);
        if (!shk_model_save(t.model, path, notes, 2, &err)) fail_msg("%s", err.text);
        struct shk_model *m = shk_model_load(path, &err);
        if (!m) fail_msg("%s", err.text);
        assert_true(shk_model_hash(m) == shk_model_hash(t.model));
        assert_string_equal(shk_model_title(m), shk_model_title(t.model));
        assert_string_equal(shk_model_description(m), shk_model_description(t.model));
        assert_int_equal(shk_model_shape(m).classes, 9);
        struct shk_metrics a, b;
        assert_true(shk_evaluate(m, t.runtime, t.test, &a, &err) && shk_evaluate(t.model, t.runtime, t.test, &b, &err));
        assert_true(a.loss == b.loss && a.accuracy == b.accuracy);
        assert_true(shk_model_save(m, other, notes, 2, &err));
        same_files(path, other);
        char *note = shk_file_note(path, "place", &err);
        assert_string_equal(note, notes[0].value);
        free(note);
        note = shk_file_note(path, "", &err);
        assert_string_equal(note, "");
        free(note);
        assert_null(shk_file_note(path, "settings", &err));
        assert_int_equal(err.code, SHK_OK);
        shk_model_free(m);
        training_free(&t);
    }
}

static void test_notes(void **state) {
    (void)state;
    struct shk_error err;
    char key[1100], *long_value = malloc(1 << 25);
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    memset(long_value, 'v', (1 << 25) - 1);
    long_value[(1 << 25) - 1] = 0;
    struct training t = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    unlink(path);
    const struct shk_note bad[][2] = {{{"a", "1"}, {"a", "2"}},
                                      {{"a", "1"}, {"b", "\xff"}},
                                      {{"a", "1"}, {"\xc3", ""}},
                                      {{"a", "1"}, {key, ""}},
                                      {{"a", "1"}, {"b", long_value}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct shk_error){0};
        assert_false(shk_trainer_save(t.trainer, path, bad[i], 2, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        assert_true(strlen(err.text) > 20);
        assert_int_equal(access(path, F_OK), -1);
    }
    free(long_value);
    training_free(&t);
}

static void test_trainer(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct training a = training_of(models[i], &images, &batch20, simple);
        struct training b = training_of(models[i], &images, &batch20, (struct way){"c", 2});
        train_to(&a, 2, 2);
        save(&a, path);
        load(&b, path);
        save(&b, other);
        same_files(path, other);
        assert_true(shk_model_hash(a.model) == shk_model_hash(b.model));
        assert_int_equal(shk_trainer_position(b.trainer).epoch, 1);
        assert_int_equal(shk_trainer_position(b.trainer).step, 2);
        assert_int_equal(shk_trainer_best(b.trainer).epoch, 1);
        assert_true(shk_trainer_best(b.trainer).test.loss == shk_trainer_best(a.trainer).test.loss);
        training_free(&a);
        training_free(&b);
    }
}

// ---- The training goes on

static void check_end(const struct training *t, const struct training *whole, size_t first, size_t epochs) {
    assert_true(shk_model_hash(t->model) == shk_model_hash(whole->model));
    for (size_t e = first; e <= epochs; e++) {
        assert_true(t->epochs[e].train_loss == whole->epochs[e].train_loss);
        assert_true(t->epochs[e].test.loss == whole->epochs[e].test.loss);
        assert_true(t->epochs[e].test.accuracy == whole->epochs[e].test.accuracy);
        assert_int_equal(t->epochs[e].best, whole->epochs[e].best);
    }
    assert_int_equal(shk_trainer_best(t->trainer).epoch, shk_trainer_best(whole->trainer).epoch);
    assert_true(shk_trainer_best(t->trainer).test.loss == shk_trainer_best(whole->trainer).test.loss);
}

static const char *const isas[] = {"c", "avx2", "avx512"};

// Saved in one way and loaded in another, at each step of the second epoch in turn.
static void test_other_machines(void **state) {
    (void)state;
    static const unsigned threads[] = {1, 2, 5};
    for (size_t i = 0; i < 3; i++) {
        struct training whole = training_of(models[i], &images, &batch20, simple);
        train(&whole, 3);
        for (size_t k = 0; k < 9; k++) {
            const struct way from = {isas[k / 3], threads[k % 3]}, to = {isas[k % 3], threads[(k / 3 + 1) % 3]};
            if (!has_isa(from.isa) || !has_isa(to.isa)) continue;
            struct training a = training_of(models[i], &images, &batch20, from);
            struct training b = training_of(models[i], &images, &batch20, to);
            train_to(&a, 2, 1 + k % 3);
            save(&a, path);
            load(&b, path);
            train(&b, 3);
            check_end(&b, &whole, 2, 3);
            training_free(&a);
            training_free(&b);
        }
        training_free(&whole);
    }
}

// Each step in turn, without a file and with one.
static void test_every_step(void **state) {
    (void)state;
    enum { EPOCHS = 3, STEPS = 3 };
    struct training whole = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    train(&whole, EPOCHS);
    for (int with_file = 0; with_file < 2; with_file++) {
        struct training t = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
        for (size_t at = 0; at < EPOCHS * STEPS; at++) {
            train_to(&t, at / STEPS + 1, at % STEPS + 1);
            assert_int_equal(shk_trainer_position(t.trainer).step, at % STEPS + 1);
            if (!with_file) continue;
            struct training next = training_of("cnn:channels=1,hidden=0", &small, &batch20, (struct way){NULL, 2});
            memcpy(next.epochs, t.epochs, sizeof next.epochs);
            save(&t, path);
            load(&next, path);
            training_free(&t);
            t = next;
        }
        train(&t, EPOCHS);
        check_end(&t, &whole, 1, EPOCHS);
        training_free(&t);
    }
    training_free(&whole);
}

// The checkpoint of a beginning makes a trainer new, whatever it has done.
static void test_beginning(void **state) {
    (void)state;
    struct training fresh = training_of("tinyvit", &images, &batch20, simple);
    struct training used = training_of("tinyvit", &images, &batch20, (struct way){NULL, 2});
    save(&fresh, path);
    train_to(&used, 2, 1);
    load(&used, path);
    assert_int_equal(shk_trainer_position(used.trainer).epoch, 0);
    assert_int_equal(shk_trainer_position(used.trainer).step, 0);
    assert_int_equal(shk_trainer_best(used.trainer).epoch, 0);
    save(&used, other);
    same_files(path, other);
    train(&fresh, 2);
    train(&used, 2);
    check_end(&used, &fresh, 1, 2);
    training_free(&fresh);
    training_free(&used);
}

static void refuses_data(struct training *t, const struct shk_dataset *other_data, const char *says) {
    struct shk_error err = {0};
    const uint64_t hash = shk_model_hash(t->model);
    assert_false(shk_train(t->trainer, other_data, NULL, 1, NULL, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    if (!strstr(err.text, says)) fail_msg("'%s' does not say '%s'", err.text, says);
    assert_true(shk_model_hash(t->model) == hash);
    assert_int_equal(shk_trainer_position(t->trainer).step, 2);
}

// Another training set, of the same size or not, is refused inside an epoch, and welcome between two.
static void test_other_data(void **state) {
    (void)state;
    struct shk_error err;
    struct training a = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    struct training b = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    struct shk_dataset *fewer = data_of(&small, 45, 3), *others = data_of(&small, 50, 3);
    struct shk_dataset *equal = data_of(&small, 50, 1);
    train_to(&a, 1, 2);
    save(&a, path);
    load(&b, path);
    struct training *const both[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        refuses_data(both[i], fewer, "epoch 1 was begun with 50 samples, but goes on with 45");
        refuses_data(both[i], others, "epoch 1 was begun with other samples of that number");
    }
    train(&a, 1);
    assert_true(shk_train(a.trainer, others, NULL, 2, NULL, &err));
    assert_true(shk_train(b.trainer, equal, NULL, 1, NULL, &err));
    assert_true(shk_train(b.trainer, fewer, NULL, 2, NULL, &err));
    shk_dataset_free(fewer);
    shk_dataset_free(others);
    shk_dataset_free(equal);
    training_free(&a);
    training_free(&b);
}

// ---- What must agree

static void test_options(void **state) {
    (void)state;
    const struct {
        const char *name, *model;
        struct shk_shape shape;
        struct shk_train_options options;
    } others[] = {
        {"batch", "tinycnn", images, {.batch = 21, .shards = 20}},
        {"shards", "tinycnn", images, {.batch = 20, .shards = 7}},
        {"lr", "tinycnn", images, {.batch = 20, .lr = nextafter(1e-3, 1)}},
        {"seed", "tinycnn", images, {.batch = 20, .seed = UINT64_MAX}},
        {"beta1", "tinycnn", images, {.batch = 20, .beta1 = 0.5}},
        {"beta2", "tinycnn", images, {.batch = 20, .beta2 = 0.5}},
        {"eps", "tinycnn", images, {.batch = 20, .eps = 1e-7}},
        {"clip_norm", "tinycnn", images, {.batch = 20, .clip_norm = INFINITY}},
        {"clip_norm", "tinycnn", images, {.batch = 20, .clip_norm = 0.1}},
        {"model", "tinyvit", images, {.batch = 20}},
        {"model", "cnn:channels=16-32,hidden=127", images, {.batch = 20}},
        {"height", "tinycnn", {36, 32, 1, 9}, {.batch = 20}},
        {"width", "tinycnn", {32, 36, 1, 9}, {.batch = 20}},
        {"channels", "tinycnn", {32, 32, 3, 9}, {.batch = 20}},
        {"classes", "tinycnn", {32, 32, 1, 8}, {.batch = 20}},
    };
    struct training t = training_of("tinycnn", &images, &batch20, simple);
    train_to(&t, 1, 2);
    save(&t, path);
    training_free(&t);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct shk_error err = {0};
        char want[40];
        t = training_of(others[i].model, &others[i].shape, &others[i].options, simple);
        uint64_t hash = shk_model_hash(t.model);
        assert_false(shk_trainer_load(t.trainer, path, &err));
        assert_int_equal(err.code, SHK_BAD_INPUT);
        snprintf(want, sizeof want, " with %s ", others[i].name);
        if (!strstr(err.text, want)) fail_msg("'%s' does not say '%s'", err.text, want);
        assert_true(shk_model_hash(t.model) == hash);
        assert_int_equal(shk_trainer_position(t.trainer).step, 0);
        training_free(&t);
    }
}

static void test_kinds(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct training t = training_of("tinycnn", &images, &batch20, simple);
    assert_true(shk_model_save(t.model, path, NULL, 0, &err));
    assert_false(shk_trainer_load(t.trainer, path, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_non_null(strstr(err.text, "is a model, but a checkpoint is needed"));
    save(&t, path);
    struct shk_model *m = shk_model_load(path, &err); // a checkpoint has weights, too
    assert_non_null(m);
    assert_true(shk_model_hash(m) == shk_model_hash(t.model));
    shk_model_free(m);
    training_free(&t);
}

// ---- The best weights, and trainings that went wrong

static uint64_t hash_of_file(const char *from) {
    struct shk_error err;
    struct shk_model *m = shk_model_load(from, &err);
    if (!m) fail_msg("%s", err.text);
    uint64_t hash = shk_model_hash(m);
    shk_model_free(m);
    return hash;
}

static void test_best(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct training t = training_of("tinyvit-pre", &images, &batch20, simple);
    uint64_t hash[9] = {0};
    unlink(path);
    assert_false(shk_trainer_save_best(t.trainer, path, NULL, 0, &err));
    assert_int_equal(err.code, SHK_BAD_INPUT);
    assert_int_equal(access(path, F_OK), -1);
    size_t seen = 0;
    for (size_t epoch = 1; epoch <= 8; epoch++) {
        train(&t, epoch);
        hash[epoch] = shk_model_hash(t.model);
        size_t best = shk_trainer_best(t.trainer).epoch;
        if (t.epochs[epoch].best) seen = epoch;
        assert_int_equal(best, seen);
        if (seen == epoch) { // the checkpoint has them
            save(&t, other);
            load(&t, other);
        }
        assert_true(shk_trainer_save_best(t.trainer, path, NULL, 0, &err));
        assert_true(hash_of_file(path) == hash[best]);
    }
    // After loading, the file of the best weights is somebody else's affair, unless they are those of the checkpoint.
    size_t last = 8;
    while (seen == last && last < RECORDED - 1) {
        train(&t, ++last);
        if (t.epochs[last].best) seen = last;
    }
    assert_true(seen < last);
    save(&t, other);
    load(&t, other);
    assert_int_equal(shk_trainer_best(t.trainer).epoch, seen);
    assert_false(shk_trainer_save_best(t.trainer, path, NULL, 0, &err));
    training_free(&t);
}

static void set_all(struct shk_model *m, float value) {
    for (size_t i = 0; i < shk_model_tensor_count(m); i++) {
        size_t n = shk_model_tensor(m, i).size;
        float *values = malloc(n * sizeof *values);
        for (size_t j = 0; j < n; j++) values[j] = value;
        shk_model_set_tensor(m, i, values);
        free(values);
    }
}

// The best weights of before can be saved, the damaged ones cannot; a checkpoint mends everything.
static void test_damaged(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct shk_error err = {0};
        struct training t = training_of(models[i], &images, &batch20, simple);
        train_to(&t, 2, 1);
        save(&t, path);
        uint64_t hash = hash_of_file(path);
        set_all(t.model, 3e38f);
        assert_false(try_train(&t, 2, &err));
        assert_int_equal(err.code, SHK_FAILED);
        err = (struct shk_error){0};
        assert_false(shk_trainer_save(t.trainer, path, NULL, 0, &err));
        assert_int_equal(err.code, SHK_FAILED);
        assert_non_null(strstr(err.text, "went wrong in epoch 2, step 2"));
        assert_false(shk_model_save(t.model, path, NULL, 0, &err));
        assert_true(hash_of_file(path) == hash);
        assert_true(shk_trainer_save_best(t.trainer, other, NULL, 0, &err));
        load(&t, path);
        train(&t, 3);
        struct training whole = training_of(models[i], &images, &batch20, simple);
        train(&whole, 3);
        check_end(&t, &whole, 2, 3);
        training_free(&t);
        training_free(&whole);
    }
}

// Weights that were set by hand after a failure: the optimizer is younger than the training then.
static void test_new_optimizer(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct training a = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    struct training b = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    train_to(&a, 3, 2);
    set_all(a.model, 3e38f);
    assert_false(try_train(&a, 3, &err));
    set_all(a.model, 0.01f);
    save(&a, path);
    load(&b, path);
    train(&a, 4);
    train(&b, 4);
    check_end(&b, &a, 3, 4);
    training_free(&a);
    training_free(&b);
}

static void test_not_finite(void **state) {
    (void)state;
    struct shk_error err = {0};
    struct training t = training_of("cnn:channels=1,hidden=0", &small, &batch20, simple);
    const float bias[2] = {0, NAN};
    save(&t, path);
    uint64_t hash = hash_of_file(path);
    shk_model_set_tensor(t.model, shk_model_tensor_count(t.model) - 1, bias);
    assert_false(shk_model_save(t.model, path, NULL, 0, &err));
    assert_int_equal(err.code, SHK_FAILED);
    assert_non_null(strstr(err.text, "fc1.bias"));
    assert_false(shk_trainer_save(t.trainer, path, NULL, 0, &err));
    assert_true(hash_of_file(path) == hash);
    training_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),        cmocka_unit_test(test_notes),      cmocka_unit_test(test_trainer),
        cmocka_unit_test(test_other_machines), cmocka_unit_test(test_every_step), cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_other_data),     cmocka_unit_test(test_options),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_best),           cmocka_unit_test(test_damaged),    cmocka_unit_test(test_new_optimizer),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
