// SPDX-License-Identifier: MIT
// A cache gives what was decoded, with all that was said of it; what is damaged, changed, or too young to tell is made again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"
#include <dirent.h>
#include <fcntl.h>
#include <png.h>
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static const char hit[] = "come from the cache";
static char cache[600], notes[4000];

static void note(const char *sentence, void *user) {
    (void)user;
    strncat(notes, sentence, sizeof notes - strlen(notes) - 1);
    strncat(notes, "\n", sizeof notes - strlen(notes) - 1);
}

static bool noted(const char *text) { return strstr(notes, text) != NULL; }

// ---- Data ----

static char *full_path(const char *path) {
    static char full[600];
    snprintf(full, sizeof full, "%s%s", tree, path);
    return full;
}

static void put_picture(const char *path, unsigned value) {
    unsigned char pixels[8 * 8];
    for (unsigned i = 0; i < sizeof pixels; i++) pixels[i] = (unsigned char)(value * (i + 1) + i * i);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 8, .height = 8, .format = PNG_FORMAT_GRAY};
    tree_write(path, "");
    assert_int_equal(png_image_write_to_file(&image, full_path(path), 0, pixels, 0, NULL), 1);
}

static void put_pictures(const char *folder) {
    static const char *const classes[] = {"ape", "bee", "cat"};
    char path[100];
    for (unsigned i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "%s/%s/%u.png", folder, classes[i % 3], i);
        put_picture(path, i);
    }
}

enum { SIDE = 28, IMAGES = 1500 };

static void put_idx(const char *folder, bool packed) {
    static unsigned char images[16 + IMAGES * SIDE * SIDE] = {0, 0, 8, 3,    0, 0, IMAGES >> 8, IMAGES & 255,
                                                              0, 0, 0, SIDE, 0, 0, 0,           SIDE};
    static unsigned char labels[8 + IMAGES] = {0, 0, 8, 1, 0, 0, IMAGES >> 8, IMAGES & 255};
    char path[100];
    for (size_t i = 16; i < sizeof images; i++) images[i] = (unsigned char)(i * i / 97);
    for (size_t i = 8; i < sizeof labels; i++) labels[i] = i % 10;
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/train-%s-ubyte", folder, k ? "labels-idx1" : "images-idx3");
        tree_write(path, "");
        gzFile file = gzopen(full_path(path), packed ? "w1" : "wT");
        const unsigned size = k ? sizeof labels : sizeof images;
        assert_true(gzwrite(file, k ? labels : images, size) == (int)size && gzclose(file) == Z_OK);
    }
}

// What the clock of files cannot tell apart is over when the tests begin.
static int set_up(void **state) {
    (void)state;
    if (!tree_create()) return -1;
    put_pictures("/pictures");
    put_pictures("/some");
    put_pictures("/few");
    tree_write("/some/cat/7.png", "no picture at all");
    put_idx("/packed", true);
    put_idx("/plain", false);
    nanosleep(&(struct timespec){2, 200000000}, NULL);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tree_remove();
    return 0;
}

// ---- Opening ----

static struct shk_data *open_with(const char *path, struct shk_data_options o) {
    struct shk_error err = {0};
    if (*path == '/') path = full_path(path);
    o.spec = path;
    o.on_note = o.on_bad = note;
    notes[0] = 0;
    struct shk_data *d = shk_data_open(&o, NULL, &err);
    if (!d) fail_msg("%s: %s", path, err.text);
    return d;
}

static uint64_t hash_of(struct shk_data *d) {
    uint64_t hash = shk_dataset_hash(shk_data_part(d, SHK_PART_TRAIN));
    hash = 31 * hash + shk_dataset_hash(shk_data_part(d, SHK_PART_VAL));
    for (size_t c = 0; c < shk_dataset_shape(shk_data_part(d, SHK_PART_TRAIN)).classes; c++) {
        const char *name = shk_dataset_class(shk_data_part(d, SHK_PART_TRAIN), c);
        for (; name && *name; name++) hash = 31 * hash + (unsigned char)*name;
    }
    shk_data_free(d);
    return hash;
}

static uint64_t hash_with(const char *path, bool skips) {
    return hash_of(open_with(path, (struct shk_data_options){.cache = cache, .skip_bad = skips}));
}

static void empty_cache(void) {
    char command[700];
    snprintf(cache, sizeof cache, "%s/cache/of/decoded", tree);
    snprintf(command, sizeof command, "rm -rf '%s/cache'", tree);
    assert_int_equal(system(command), 0);
}

// Files in the cache; the path of the last one, and of those that are whole.
static unsigned count_files(char path[1000]) {
    unsigned count = 0;
    DIR *list = opendir(cache);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        if (entry->d_name[0] == '.') continue;
        count++;
        snprintf(path, 1000, "%s/%s", cache, entry->d_name);
    }
    if (list) closedir(list);
    return count;
}

// ---- Tests ----

static void test_same(void **state) {
    (void)state;
    char path[1000], said[sizeof notes];
    static const char *const sets[] = {"/pictures", "/some", "/packed"};
    for (size_t i = 0; i < 3; i++) {
        empty_cache();
        const uint64_t hash = hash_of(open_with(sets[i], (struct shk_data_options){.skip_bad = true}));
        strcpy(said, notes);
        assert_true(hash_with(sets[i], true) == hash);
        assert_string_equal(notes, said);
        assert_int_equal(count_files(path), 1);
        assert_true(hash_with(sets[i], true) == hash && noted(hit));
        assert_int_equal(count_files(path), 1);
        *strstr(notes, "the images were decoded before") = 0;
        if (!strstr(said, notes)) fail_msg("not said again: %s", notes);
        assert_true(i != 1 || (noted("7.png") && noted("1 of 31 pictures")));
    }
}

// What is read as fast as it would be found is not kept.
static void test_plain(void **state) {
    (void)state;
    char path[1000];
    empty_cache();
    const uint64_t hash = hash_with("/packed", false);
    assert_int_equal(count_files(path), 1);
    assert_true(hash_with("/plain", false) == hash && !noted(hit));
    assert_int_equal(count_files(path), 1);
}

// What else decides on the data has a file of its own.
static void test_policies(void **state) {
    (void)state;
    static const struct shk_data_options policies[] = {
        {0}, {.size = 9}, {.size = 9, .fit = SHK_FIT_CROP}, {.channels = 3}, {.background = 7}, {.skip_bad = true},
    };
    enum { POLICIES = sizeof policies / sizeof *policies };
    char path[1000];
    empty_cache();
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < POLICIES; i++) {
            struct shk_data_options o = policies[i];
            o.cache = cache;
            shk_data_free(open_with("/pictures", o));
            assert_true(noted(hit) == (round == 1));
            assert_int_equal(count_files(path), round ? POLICIES : i + 1);
        }
    // The seed and the split are none of it.
    shk_data_free(open_with("/pictures", (struct shk_data_options){.cache = cache, .seed = 3, .split = 0.5}));
    assert_true(noted(hit));
}

static void rewrite(const char *path, const unsigned char *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

// A torn or changed file is made again, and nobody hears of it.
static void test_damage(void **state) {
    (void)state;
    static unsigned char bytes[1 << 16];
    char path[1000];
    empty_cache();
    const uint64_t hash = hash_with("/pictures", false);
    assert_int_equal(count_files(path), 1);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(size > 4096 + 30 * 64 && size < sizeof bytes - 1);
    for (size_t at = 0; at < size; at += at < 240 ? 7 : 611) {
        bytes[at] ^= (unsigned char)(1 << at % 8);
        rewrite(path, bytes, size);
        bytes[at] ^= (unsigned char)(1 << at % 8);
        if (hash_with("/pictures", false) != hash || noted(hit)) fail_msg("byte %zu may be another one", at);
    }
    for (size_t cut = 0; cut < size; cut += 1 + cut) {
        rewrite(path, bytes, cut);
        if (hash_with("/pictures", false) != hash || noted(hit)) fail_msg("%zu bytes are enough", cut);
    }
    rewrite(path, bytes, size + 1);
    assert_true(hash_with("/pictures", false) == hash && !noted(hit));
    assert_true(hash_with("/pictures", false) == hash && noted(hit)); // it was made again
    assert_int_equal(count_files(path), 1);
    // Nor is another set's file taken.
    char other[1000];
    snprintf(other, sizeof other, "%s", path);
    empty_cache();
    shk_data_free(open_with("/pictures", (struct shk_data_options){.cache = cache, .size = 9}));
    count_files(path);
    rewrite(path, bytes, size);
    shk_data_free(open_with("/pictures", (struct shk_data_options){.cache = cache, .size = 9}));
    assert_false(noted(hit));
}

// A file that is changed is read again; so is one that could have been changed within the tick of a clock.
static void test_changed(void **state) {
    (void)state;
    empty_cache();
    const uint64_t hash = hash_with("/few", false);
    assert_true(hash_with("/few", false) == hash && noted(hit));
    put_picture("/few/ape/0.png", 77);
    const uint64_t changed = hash_with("/few", false);
    assert_true(changed != hash && !noted(hit));
    assert_true(hash_with("/few", false) == changed && !noted(hit));
    nanosleep(&(struct timespec){2, 200000000}, NULL);
    assert_true(hash_with("/few", false) == changed && !noted(hit));
    assert_true(hash_with("/few", false) == changed && noted(hit));
    char from[600];
    snprintf(from, sizeof from, "%s", full_path("/few/bee/1.png"));
    assert_int_equal(rename(from, full_path("/few/bee/x.png")), 0);
    hash_with("/few", false);
    assert_false(noted(hit));
}

// Sentences name files as they were typed.
static void test_other_path(void **state) {
    (void)state;
    empty_cache();
    const uint64_t hash = hash_with("/some", true), clean = hash_with("/pictures", false);
    assert_true(hash_with("/some/../some", true) == hash && !noted(hit) && noted("some/../some/cat/7.png"));
    assert_true(hash_with("/pictures/../pictures", false) == clean && noted(hit));
}

// Where nothing can be kept, that is said, and the data are there all the same.
static void test_no_place(void **state) {
    (void)state;
    empty_cache();
    const uint64_t hash = hash_with("/pictures", false);
    snprintf(cache, sizeof cache, "%s", full_path("/some/cat/7.png"));
    assert_true(hash_with("/pictures", false) == hash && noted("are not kept"));
    snprintf(cache, sizeof cache, "/proc/none");
    assert_true(hash_with("/pictures", false) == hash && noted("are not kept"));
}

static void put_sized(const char *name, off_t size, time_t used) {
    char path[1000];
    const struct timespec times[2] = {{.tv_sec = used}, {.tv_sec = used}};
    snprintf(path, sizeof path, "%s/%s", cache, name);
    const int file = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(file >= 0 && ftruncate(file, size) == 0 && futimens(file, times) == 0 && close(file) == 0);
}

static bool is_there(const char *name) {
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return access(path, F_OK) == 0;
}

// Those of which nobody made use for longest go where all take more than 16 GiB; so does what a writer left that was killed.
static void test_bounds(void **state) {
    (void)state;
    static const char *const names[] = {"0123456789abcdef0123456789abcde0.set",
                                        "0123456789abcdef0123456789abcde1.set",
                                        "0123456789abcdef0123456789abcde2.set",
                                        "0123456789abcdef0123456789abcde2.set.01234567.new",
                                        "0123456789abcdef0123456789abcde3.set.01234567.new",
                                        "somebody else's"};
    char path[1000];
    empty_cache();
    hash_with("/pictures", false);
    empty_cache();
    assert_int_equal(count_files(path), 0);
    hash_with("/packed", false);
    for (unsigned i = 0; i < 6; i++) put_sized(names[i], i < 3 ? (off_t)6 << 30 : 100, 1000000 - 1000 * (i == 1));
    snprintf(path, sizeof path, "%s/%s", cache, names[4]);
    const int writer = open(path, O_RDONLY);
    assert_true(writer >= 0 && flock(writer, LOCK_EX | LOCK_NB) == 0);
    hash_with("/pictures", false);
    assert_true(is_there(names[0]) && !is_there(names[1]) && is_there(names[2]));
    assert_true(!is_there(names[3]) && is_there(names[4]) && is_there(names[5]));
    close(writer);
    hash_with("/pictures", false);
    assert_true(noted(hit));
    hash_with("/packed", false);
    assert_true(noted(hit));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),     cmocka_unit_test(test_plain),   cmocka_unit_test(test_policies),
        cmocka_unit_test(test_damage),   cmocka_unit_test(test_changed), cmocka_unit_test(test_other_path),
        cmocka_unit_test(test_no_place), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
