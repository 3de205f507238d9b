// SPDX-License-Identifier: MIT
// Files are written whole or not at all: whatever goes wrong, what was there before stays, and nothing lies beside it.
#include "training.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static const struct shk_shape small = {8, 8, 1, 2};
static char folder[] = "/tmp/shikaku-writing-XXXXXX", path[100];
static struct training t;

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/a", folder);
    t = training_of("cnn:channels=16-32,hidden=64", &small, &(struct shk_train_options){.batch = 20},
                    (struct way){NULL, 1});
    train_to(&t, 1, 2);
    return 0;
}

static int end(void **state) {
    (void)state;
    training_free(&t);
    unlink(path);
    return rmdir(folder); // nothing else is left
}

static bool save(struct shk_error *err) {
    *err = (struct shk_error){0};
    return shk_trainer_save(t.trainer, path, NULL, 0, err);
}

static void says(const struct shk_error *err, enum shk_code code, const char *text) {
    if (err->code != code || !strstr(err->text, text))
        fail_msg("%d '%s' does not say %d '%s'", (int)err->code, err->text, (int)code, text);
}

static size_t files_in_folder(void) {
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void holds(const char *at, const char *text) {
    size_t size;
    char *bytes = read_file(at, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

// A path leaves room for what is wrong.
static void test_long_paths(void **state) {
    (void)state;
    struct shk_error err;
    char name[3000];
    for (size_t i = 0; i < sizeof name; i++) name[i] = i % 100 ? 'n' : '/';
    memcpy(name + sizeof name - 8, "/a.ckpt", 8);
    assert_false(shk_trainer_save(t.trainer, name, NULL, 0, &err));
    says(&err, SHK_FAILED, "/a.ckpt cannot be written: its folder is not there, make it first");
    assert_int_equal(strncmp(err.text, "...n", 4), 0);
    assert_false(shk_trainer_load(t.trainer, name, &err));
    says(&err, SHK_BAD_INPUT, "/a.ckpt cannot be read: No such file");
}

// ---- shk_write_file

static void test_write_file(void **state) {
    (void)state;
    struct shk_error err;
    assert_true(shk_write_file(path, "old", 3, &err));
    holds(path, "old");
    assert_true(shk_write_file(path, NULL, 0, &err));
    holds(path, "");
    static const size_t sizes[] = {1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3000000}; // around the buffer's
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *text = malloc(sizes[i] + 1);
        for (size_t j = 0; j < sizes[i]; j++) text[j] = (char)('a' + j % 23);
        text[sizes[i]] = 0;
        assert_true(shk_write_file(path, text, sizes[i], NULL));
        holds(path, text);
        free(text);
    }
    // A file in the working folder has no slash.
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_true(shk_write_file("a", "here", 4, &err));
    assert_int_equal(chdir(before), 0);
    holds(path, "here");
    assert_int_equal(files_in_folder(), 1);
}

static void test_wrong_places(void **state) {
    (void)state;
    struct shk_error err;
    assert_false(shk_write_file("/nowhere/at/all", "x", 1, &err));
    says(&err, SHK_FAILED, "/nowhere/at/all cannot be written: its folder is not there");
    assert_false(shk_write_file("", "x", 1, &err));
    says(&err, SHK_FAILED, "cannot be written");
    assert_false(shk_write_file(folder, "x", 1, &err));
    says(&err, SHK_FAILED, "cannot be written: Is a directory");
    assert_false(shk_write_file("/dev/null", "x", 1, &err));
    says(&err, SHK_FAILED, "/dev/null cannot be written: it is no regular file");
    assert_false(shk_write_file("/dev/null/x", "x", 1, &err));
    says(&err, SHK_FAILED, "cannot be written: Not a directory");
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_false(shk_write_file(name, "x", 1, &err));
    assert_int_equal(err.code, SHK_FAILED);
}

// Two that write the same file at once do not meet before it is in place: the last one to finish wins.
static void test_two_writers(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_file_out a, b;
    char away[120];
    snprintf(away, sizeof away, "%s/away", folder);
    write_file(path, "old", 3);
    assert_int_equal(link(path, away), 0);
    assert_int_equal(chmod(path, 0400), 0);
    assert_true(shk_file_create(&a, NULL, path, &err) && shk_file_create(&b, NULL, path, &err));
    assert_string_not_equal(a.fresh, b.fresh);
    assert_int_equal(files_in_folder(), 4);
    shk_file_put(&a, "first", 5);
    shk_file_put(&b, "second", 6);
    assert_true(shk_file_finish(&b, &err));
    holds(path, "second");
    assert_true(shk_file_finish(&a, &err));
    holds(path, "first");
    holds(away, "old"); // another name of the file that was there
    assert_int_equal(unlink(away), 0);
    assert_int_equal(files_in_folder(), 1);
}

// The folder is moved, and another one takes its path, while a file is written: nothing comes into the new one.
static void test_moved_folder(void **state) {
    (void)state;
    struct shk_error err;
    struct shk_file_out f;
    char in[120], file[130], moved[120], moved_file[130];
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(file, sizeof file, "%s/b", in);
    snprintf(moved, sizeof moved, "%s/moved", folder);
    snprintf(moved_file, sizeof moved_file, "%s/b", moved);
    assert_int_equal(mkdir(in, 0700), 0);
    struct shk_folder *held = shk_folder_open(in, &err);
    assert_true(held && shk_folder_stands(held));
    assert_true(shk_file_create(&f, NULL, file, &err));
    shk_file_put(&f, "lost", 4);
    assert_int_equal(rename(in, moved), 0);
    assert_false(shk_folder_stands(held));
    assert_int_equal(mkdir(in, 0700), 0);
    assert_false(shk_folder_stands(held));
    assert_false(shk_file_finish(&f, &err));
    says(&err, SHK_FAILED, "in/b cannot be written: its folder was moved or removed meanwhile");
    assert_int_equal(rmdir(in), 0); // both are empty
    assert_int_equal(access(moved_file, F_OK), -1);
    // What is held is written into, wherever it is.
    assert_true(shk_write_file_in(held, "b", "kept", 4, &err));
    holds(moved_file, "kept");
    assert_true(shk_trainer_save_in(t.trainer, held, "b", NULL, 0, &err));
    assert_true(shk_trainer_load(t.trainer, moved_file, &err));
    assert_int_equal(unlink(moved_file), 0);
    assert_int_equal(rmdir(moved), 0);
    assert_false(shk_write_file_in(held, "b", "x", 1, &err));
    says(&err, SHK_FAILED, "in/b cannot be written: No such file");
    assert_int_equal(access(in, F_OK), -1);
    shk_folder_close(held);
    assert_null(shk_folder_open(in, &err));
    says(&err, SHK_BAD_INPUT, "in cannot be opened as a folder: No such file");
}

// A link to a file is replaced; a link to a device is not, however it is named.
static void test_links(void **state) {
    (void)state;
    struct shk_error err;
    char away[120];
    snprintf(away, sizeof away, "%s/away", folder);
    write_file(away, "away", 4);
    unlink(path);
    assert_int_equal(symlink(away, path), 0);
    assert_true(shk_write_file(path, "new", 3, &err));
    holds(path, "new");
    holds(away, "away");
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_false(shk_write_file(path, "new", 3, &err));
    says(&err, SHK_FAILED, "it is no regular file");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(shk_write_file(path, "new", 3, &err));
    says(&err, SHK_FAILED, "it is no regular file");
    unlink(path);
    unlink(away);
}

static void test_read_only_folder(void **state) {
    (void)state;
    struct shk_error err;
    if (geteuid() == 0) skip(); // root may write everywhere
    write_file(path, "old", 3);
    assert_int_equal(chmod(folder, 0500), 0);
    bool done = save(&err);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_false(done);
    says(&err, SHK_FAILED, "cannot be written: Permission denied");
    holds(path, "old");
}

// ---- Writing that fails on its way

// The file system is full, as far as this process can tell.
static void limit_size(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full(void **state) {
    (void)state;
    struct shk_error err;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    unlink(path);
    assert_true(save(&err));
    size_t whole;
    free(read_file(path, &whole));
    unlink(path);
    write_file(path, "old", 3);
    for (size_t bytes = 0; bytes < whole; bytes += bytes < 100 ? 33 : whole / 7) {
        limit_size(bytes);
        bool done = save(&err);
        limit_size(RLIM_INFINITY);
        assert_false(done);
        says(&err, SHK_FAILED, "cannot be written: File too large");
        holds(path, "old");
        assert_int_equal(files_in_folder(), 1);
    }
    signal(SIGXFSZ, before);
}

static volatile sig_atomic_t signals;
static void count_signal(int number) {
    (void)number;
    signals++;
}

// Signals at any moment interrupt calls, but no file.
static void test_signals(void **state) {
    (void)state;
    struct shk_error err;
    struct sigaction action = {.sa_handler = count_signal}, before; // without SA_RESTART
    sigaction(SIGALRM, &action, &before);
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    bool done = true;
    for (int i = 0; done && i < 50; i++) {
        done = save(&err);
        struct shk_model *m = done ? shk_model_load(path, &err) : NULL;
        done = m && shk_model_hash(m) == shk_model_hash(t.model);
        shk_model_free(m);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    if (!done) fail_msg("%s", err.text);
    print_message("%d signals\n", (int)signals);
}

// ---- No memory, for each allocation of the library that writes the header, in turn

static size_t allocations_left;
static void *failing_malloc(size_t size) {
    if (allocations_left == 0) {
        errno = ENOMEM;
        return NULL;
    }
    allocations_left--;
    return malloc(size);
}

static void test_no_memory(void **state) {
    (void)state;
    struct shk_error err;
    const struct shk_note notes[] = {{"settings", "{\"seed\": 0}"}, {"place", "epoch 1"}};
    unlink(path);
    write_file(path, "old", 3);
    size_t most = 0;
    for (bool done = false; !done; most++) {
        err = (struct shk_error){0};
        allocations_left = most;
        json_set_alloc_funcs(failing_malloc, free);
        done = shk_trainer_save(t.trainer, path, notes, 2, &err);
        json_set_alloc_funcs(malloc, free);
        if (done) break;
        says(&err, SHK_FAILED, "out of memory");
        holds(path, "old");
        assert_int_equal(files_in_folder(), 1);
    }
    assert_true(most > 100);
    print_message("%zu allocations failed\n", most);
    char *note = shk_file_note(path, "place", &err);
    assert_string_equal(note, "epoch 1");
    free(note);
    assert_true(shk_trainer_load(t.trainer, path, &err));
}

// ---- Reading what is no file

static void reading_says(const char *from, enum shk_code code, const char *text) {
    struct shk_error err = {0};
    assert_false(shk_trainer_load(t.trainer, from, &err));
    says(&err, code, text);
    err = (struct shk_error){0};
    assert_null(shk_model_load(from, &err));
    says(&err, code, text);
    err = (struct shk_error){0};
    assert_null(shk_file_note(from, "place", &err));
    says(&err, code, text);
}

static void test_reading(void **state) {
    (void)state;
    uint64_t hash = shk_model_hash(t.model);
    unlink(path);
    reading_says(path, SHK_BAD_INPUT, "cannot be read: No such file");
    reading_says(folder, SHK_BAD_INPUT, "cannot be read: Is a directory");
    assert_int_equal(mkfifo(path, 0600), 0);
    reading_says(path, SHK_BAD_INPUT, "it is no regular file"); // and does not wait for a writer
    reading_says("/dev/zero", SHK_BAD_INPUT, "it is no regular file");
    unlink(path);
    write_file(path, "", 0);
    reading_says(path, SHK_BAD_INPUT, "has 0 bytes, too few");
    // A hole of 8 TB, more than any memory has: zeros are refused before, a right beginning is not enough.
    bool sparse = truncate(path, (off_t)1 << 43) == 0;
    if (sparse) reading_says(path, SHK_BAD_INPUT, "is no safetensors file: it does not begin");
    struct shk_error err;
    unlink(path);
    assert_true(save(&err));
    if (sparse && truncate(path, (off_t)1 << 43) == 0) reading_says(path, SHK_FAILED, "out of memory");
    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        reading_says(path, SHK_BAD_INPUT, "cannot be read: Permission denied");
    }
    assert_true(shk_model_hash(t.model) == hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_file),  cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_two_writers), cmocka_unit_test(test_moved_folder),
        cmocka_unit_test(test_links),       cmocka_unit_test(test_read_only_folder),
        cmocka_unit_test(test_full),        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_reading),
        cmocka_unit_test(test_long_paths),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
