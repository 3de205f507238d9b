// SPDX-License-Identifier: MIT
// Makes a folder or a file of data under another name beside its place, and then puts it there.
#include "data/write/write.h"

#include "base/memory.h"
#include "data/pictures/picture.h"
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct {
    bool (*write)(const struct shk_writing *, struct shk_error *);
    bool is_file;
} forms[SHK_FORMS] = {
    [SHK_FORM_FOLDER] = {shk_write_folder, false}, [SHK_FORM_IDX] = {shk_write_idx, false},
    [SHK_FORM_CIFAR] = {shk_write_cifar, false},   [SHK_FORM_NPZ] = {shk_write_npz, true},
    [SHK_FORM_CSV] = {shk_write_csv, false},
};

const char *const shk_written_parts[SHK_PARTS] = {"train", "val", "test"};

// ---- What forms ask for ----

void shk_writing_note(const struct shk_writing *w, const char *sentence) {
    if (w->options.on_note) w->options.on_note(sentence, w->options.user);
}

bool shk_writing_goes_on(const struct shk_writing *w, struct shk_error *err) {
    return !w->options.goes_on || w->options.goes_on(w->options.user) ||
           shk_fail(err, SHK_FAILED, "%s: the writing was stopped", w->path);
}

// Sentences name it by where it will be.
bool shk_writing_create(const struct shk_writing *w, struct shk_file_out *f, const char *name, struct shk_error *err) {
    const size_t size = strlen(w->path) + strlen(name) + 2;
    char *path = shk_alloc(size, 1, "a file's name", err);
    if (path) snprintf(path, size, "%s/%s", w->path, name);
    const bool ok = path && shk_file_create(f, w->fresh, path, err);
    shk_free(path);
    return ok;
}

struct shk_shape shk_writing_shape(const struct shk_writing *w) {
    return w->data->parts[SHK_PART_TRAIN]->shape;
}

bool shk_writing_bytes(const struct shk_writing *w, enum shk_part part, size_t sample, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const size_t pixels = shk_dataset_pixels_of(d);
    if (d->bytes) {
        memcpy(w->bytes, d->bytes + sample * pixels, pixels);
        return true;
    }
    const float *x = shk_dataset_image(d, sample);
    for (size_t i = 0; i < pixels; i++) {
        const float b = rintf(x[i] * 255);
        if (!(b >= 0 && b <= 255) || b / 255.0f != x[i])
            return shk_fail(err, SHK_BAD_INPUT,
                            "sample %zu of %s holds the pixel %g, which is no byte (a whole 255th of 0 to 1): a .npz "
                            "holds such numbers",
                            sample, shk_written_parts[part], (double)x[i]);
        w->bytes[i] = (uint8_t)b;
    }
    return true;
}

const char *shk_writing_class(const struct shk_writing *w, size_t label, char number[24]) {
    const char *name = shk_dataset_class(w->data->parts[SHK_PART_TRAIN], label);
    snprintf(number, 24, "%zu", label);
    return name ? name : number;
}

bool shk_writing_knows_classes(const struct shk_writing *w, size_t from, struct shk_error *err) {
    const struct shk_dataset *train = w->data->parts[SHK_PART_TRAIN];
    const size_t classes = train->shape.classes;
    char number[24];
    bool *has = shk_alloc(classes, sizeof *has, "classes", err), ok = has;
    for (size_t i = 0; ok && i < train->n; i++) has[train->labels[i]] = true;
    for (size_t c = from; ok && c < classes; c++)
        if (!has[c])
            ok = shk_fail(err, SHK_BAD_INPUT,
                          "class '%.100s' has no sample in train, from whose labels this form's readers learn which "
                          "classes there are: write a folder, which knows it",
                          shk_writing_class(w, c, number));
    shk_free(has);
    return ok;
}

// ---- Folders ----

static bool is_taken(const char *path, const char *why, struct shk_error *err) {
    char shown[SHK_SHOWN_PATH];
    return shk_fail(err, SHK_BAD_INPUT, "%s is there already%s: name another folder", shk_shown_path(path, shown), why);
}

bool shk_form_fits(enum shk_form form, const char *path, struct shk_error *err) {
    struct stat s;
    struct shk_names within;
    if (forms[form].is_file || lstat(path, &s) != 0) return true;
    if (!S_ISDIR(s.st_mode)) return is_taken(path, " and is no folder", err);
    if (!shk_names_of_folder(path, &within, err)) return false;
    const bool empty = within.count == 0;
    shk_names_free(&within);
    return empty || is_taken(path, " and is not empty", err);
}

// A name that no other writer has: the time and the process choose the first one that is tried.
static struct shk_folder *make_fresh(const char *path, struct shk_error *err) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    const size_t size = length + sizeof ".12345678.new";
    char *fresh = shk_alloc(size, 1, "a folder's name", err);
    struct shk_folder *folder = NULL;
    struct timespec now;
    if (!fresh) return NULL;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned number = (unsigned)now.tv_nsec * 4u ^ (unsigned)now.tv_sec ^ (unsigned)getpid() << 16;
    int made;
    do {
        snprintf(fresh, size, "%.*s.%08x.new", (int)length, path, number++);
        made = mkdir(fresh, 0777);
    } while (made != 0 && errno == EEXIST);
    if (made == 0) folder = shk_folder_hold(fresh, size - 1);
    char shown[SHK_SHOWN_PATH];
    if (!folder && errno == ENOENT)
        shk_fail(err, SHK_FAILED, "%s cannot be made: its folder is not there, make it first",
                 shk_shown_path(path, shown));
    else if (!folder)
        shk_cannot(path, "made", errno, SHK_FAILED, err);
    shk_free(fresh);
    return folder;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)kind, (void)at;
    return remove(path) && errno != ENOENT;
}

static void remove_all(const struct shk_folder *folder) {
    enum { HANDLES = 8 };
    nftw(folder->path, remove_one, HANDLES, FTW_DEPTH | FTW_PHYS);
}

// All of it to the disk at once, and then into its place.
static bool place(const struct shk_folder *fresh, const char *path, struct shk_error *err) {
    if (syncfs(fresh->handle) != 0) return shk_cannot(path, "written", errno, SHK_FAILED, err);
    if (rename(fresh->path, path) == 0) return true;
    if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR) return is_taken(path, " by now", err);
    return shk_cannot(path, "written", errno, SHK_FAILED, err);
}

static bool write_folder(struct shk_writing *w, enum shk_form form, struct shk_error *err) {
    struct shk_folder *fresh = make_fresh(w->path, err);
    if (!fresh) return false;
    w->fresh = fresh;
    const bool ok = forms[form].write(w, err) && place(fresh, w->path, err);
    if (!ok) remove_all(fresh);
    shk_folder_close(fresh);
    return ok;
}

// ---- All of it ----

static bool check(const struct shk_data *d, struct shk_error *err) {
    const struct shk_dataset *train = d->parts[SHK_PART_TRAIN];
    if (!train) return shk_fail(err, SHK_BAD_INPUT, "there is no training set to be written");
    return train->bytes || !train->prepared.normalised ||
           shk_fail(err, SHK_BAD_INPUT, "floats that are normalised are not written: open the data without that");
}

bool shk_data_write(const struct shk_data *d, enum shk_form form, const char *path,
                    const struct shk_write_options *options, struct shk_error *err) {
    struct shk_png png = {0};
    struct shk_writing w = {.data = d, .path = path, .png = &png};
    if (options) w.options = *options;
    if (!check(d, err) || !shk_form_fits(form, path, err)) return false;
    w.bytes = shk_alloc(shk_dataset_pixels_of(d->parts[SHK_PART_TRAIN]), 1, "an image", err);
    const bool ok = w.bytes && (forms[form].is_file ? forms[form].write(&w, err) : write_folder(&w, form, err));
    shk_free(w.bytes);
    shk_free(png.bytes);
    return ok;
}
