// SPDX-License-Identifier: MIT
// Data sets of images and labels: drawn, copied from memory, or read from files.
//
// Handles, errors and threads as in shikaku/shikaku.h. Whatever a file claims is checked before memory is taken for it; bad
// input is SHK_BAD_INPUT and one sentence that names the file.
#ifndef SHIKAKU_DATA_H
#define SHIKAKU_DATA_H

#include <shikaku/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shk_runtime;

// ---- Data sets in memory ----

struct shk_dataset;
struct shk_shape {
    size_t height, width, channels, classes;
};
// SquareDataset: `square` x `square` pixels of 1 on 0 inside one cell of a 3x3 grid with cells of size/3 pixels; the
// class is the cell; with probability `invert` the image is 1 - x. Sample i depends on (seed, stream, i) alone.
struct shk_squares_options {
    size_t n;      // samples, 1 .. 10^7
    size_t size;   // pixels, 8 .. 256; 0: 32
    size_t square; // pixels, 1 .. size/3; 0: 6
    double invert; // probability 0 .. 1; negative: 0.5
    uint64_t seed;
    uint32_t stream; // 0: training set, 1: test set
};
struct shk_dataset *shk_dataset_squares(const struct shk_squares_options *options, struct shk_error *error);
// Copies n images [n][height][width][channels], all finite, and labels [n].
struct shk_dataset *shk_dataset_copy(const float *images, const uint32_t *labels, size_t n,
                                     const struct shk_shape *shape, struct shk_error *error);
// The same of bytes, which stay bytes: b is the pixel b/255. A quarter of the memory, and the same bits as those floats.
struct shk_dataset *shk_dataset_copy_bytes(const uint8_t *images, const uint32_t *labels, size_t n,
                                           const struct shk_shape *shape, struct shk_error *error);
// Images that the caller makes when they are needed: nothing of them is held.
struct shk_image_maker {
    // Writes the pixels of a sample, [height][width][channels], and the same ones each time. Is called by several threads at
    // once. What cannot be made becomes NaN, which ends a training with an error.
    void (*make)(size_t sample, float *pixels, void *user);
    void *user;
};
// Labels [n] are copied. Bits and hash are those of shk_dataset_copy of the same images.
struct shk_dataset *shk_dataset_make(const struct shk_image_maker *, const uint32_t *labels, size_t n,
                                     const struct shk_shape *shape, struct shk_error *error);
// What the classes are called, UTF-8, [classes]. The names go to a model that is trained on them, and into its files.
bool shk_dataset_name_classes(struct shk_dataset *, const char *const *names, struct shk_error *error);
void shk_dataset_free(struct shk_dataset *);
size_t shk_dataset_size(const struct shk_dataset *);
struct shk_shape shk_dataset_shape(const struct shk_dataset *);
// The pixels that a model sees, [height][width][channels], written to `out`.
void shk_dataset_pixels(const struct shk_dataset *, size_t index, float *out);
uint32_t shk_dataset_label(const struct shk_dataset *, size_t index);
// XXH3-64 of shape, labels and images as they are held (bytes or floats before normalisation), little-endian: two sets with
// the same hash and preprocessing train to the same bits.
uint64_t shk_dataset_hash(const struct shk_dataset *);
// What a class is called, UTF-8; NULL: it has a number only.
const char *shk_dataset_class(const struct shk_dataset *, size_t label);

// ---- How images become the input of a model ----

enum { SHK_MAX_CHANNELS = 4 };
enum shk_fit {
    SHK_FIT_STRETCH,   // each axis by itself
    SHK_FIT_CROP,      // the middle, as much as has the wanted aspect
    SHK_FIT_LETTERBOX, // all of it, with the background beside it
};
// Is kept with a model that was trained on such data, and in its files.
struct shk_preprocessing {
    enum shk_fit fit;
    unsigned background; // 0 .. 255, of all channels: behind transparent pixels, and beside what is letterboxed
    bool normalised;     // a pixel is (x - mean) / deviation of its channel; x is 0 .. 1 where it comes from bytes
    float mean[SHK_MAX_CHANNELS], deviation[SHK_MAX_CHANNELS];
};
struct shk_preprocessing shk_dataset_preprocessing(const struct shk_dataset *);
// Mean and deviation (of the population, at least 1e-6) of each channel; of bytes from whole sums, of floats in double, in the
// order of samples. Once, and before the data set is used.
void shk_dataset_normalise(struct shk_dataset *, const float *mean, const float *deviation);
void shk_dataset_statistics(const struct shk_dataset *, float *mean, float *deviation);

// ---- Data from files ----

enum shk_part { SHK_PART_TRAIN, SHK_PART_VAL, SHK_PART_TEST, SHK_PARTS };
enum shk_normalise { SHK_NORMALISE_AUTO, SHK_NORMALISE_NONE, SHK_NORMALISE_GIVEN }; // auto: by the training set

struct shk_data_options {
    const char *spec;         // a file or folder with all parts, or "squares"; NULL: the parts lie apart
    const char *train, *test; // NULL: in spec
    double
        split; // of the training set that becomes val, above 0 and below 1; 0: 0.1 where neither val nor test is there
    uint64_t seed;   // of the split, and of squares
    size_t size;     // height and width of pictures; 0: their own, where all are alike and at most 64, else 32
    size_t channels; // of pictures, 1 or 3; 0: 1 where all training pictures are grey, else 3
    enum shk_fit fit;
    unsigned background;
    enum shk_normalise normalise;
    float mean[SHK_MAX_CHANNELS], deviation[SHK_MAX_CHANNELS]; // SHK_NORMALISE_GIVEN
    bool skip_bad;                                             // go on without files that cannot be read
    const char *cache; // a folder in which decoded images are kept for the next time; NULL: nowhere
    size_t square, train_samples, test_samples; // of squares; 0: 6, 5000, 1000
    double invert;                              // of squares
    // Each sentence about what was done, and about each file that cannot be read; NULL allowed. Called by the calling thread.
    void (*on_note)(const char *sentence, void *user);
    void (*on_bad)(const char *sentence, void *user);
    void (*on_progress)(size_t done, size_t all, void *user); // files that were decoded; all of them, at last
    void *user;
};
struct shk_data;
// Finds out what the files are by their content, and reads them on the runtime's threads.
struct shk_data *shk_data_open(const struct shk_data_options *options, const struct shk_runtime *runtime,
                               struct shk_error *error);
struct shk_model;
// Data for a model that is there: its shape, classes and preprocessing in place of those of the options.
struct shk_data *shk_data_open_for(const struct shk_model *, const struct shk_data_options *options,
                                   const struct shk_runtime *runtime, struct shk_error *error);
void shk_data_free(struct shk_data *);
const char *shk_data_source(const struct shk_data *); // "squares", "folder", "idx", ...
// Belongs to the handle; NULL: there is none.
const struct shk_dataset *shk_data_part(const struct shk_data *, enum shk_part part);
// What a sample is called: the path of its file, within the folder of classes or as the list has it. NULL: it has a number only.
const char *shk_data_sample(const struct shk_data *, enum shk_part part, size_t index);

// ---- What stands out in data ----

struct shk_sample {
    enum shk_part part;
    size_t index;
};
// A sample, and the first one, by part and then by number, that shows the same picture.
struct shk_same {
    struct shk_sample sample, first;
    bool equal; // pixel for pixel; else they are alike: the picture was encoded again
};
struct shk_findings {
    size_t constants, sames;
    struct shk_sample *constant; // [constants] without any structure: each channel has one value
    struct shk_same *same;       // [sames] each sample once
};
// All equal ones are found. Of those that are alike nearly all are: each sample is held against 192 others at most, those with
// the nearest hashes of what is brighter than what. On the runtime's threads, or, where that is NULL, on the calling one.
struct shk_findings *shk_data_findings(const struct shk_data *, const struct shk_runtime *, struct shk_error *error);
void shk_findings_free(struct shk_findings *);

// ---- Data into files ----

enum shk_form {
    SHK_FORM_FOLDER, // train/, val/, test/, in each a folder for each class, in it a PNG for each sample, in their order
    SHK_FORM_IDX,    // a folder of IDX with MNIST's names
    SHK_FORM_CIFAR, // a folder of CIFAR-10's binary files, of CIFAR-100's where there are more than 10 classes; 32 x 32 only
    SHK_FORM_NPZ, // a file of x_train, y_train, and so on for val and test
    SHK_FORM_CSV, // a folder of data.csv and the PNG files that it lists, in the order of samples
    SHK_FORMS
};
// Whether nothing stands where a form would be written: a folder that is there must be empty; a .npz is replaced.
bool shk_form_fits(enum shk_form form, const char *path, struct shk_error *error);
// Writes all parts, whole or not at all, as they are before normalisation. Pixels become bytes, and where one is none they are
// refused; a .npz holds floats, too. What a form cannot hold is refused, or said. options, and each in it: NULL allowed.
struct shk_write_options {
    void (*on_note)(const char *sentence, void *user);
    bool (*goes_on)(void *user); // asked before each sample; where it says false, nothing is written
    void *user;
};
bool shk_data_write(const struct shk_data *, enum shk_form form, const char *path,
                    const struct shk_write_options *options, struct shk_error *error);
// A PNG of 8 bits, whole or not at all: pixels [height][width][channels], 1 channel (grey) or 3 (RGB).
bool shk_write_png(const char *path, const uint8_t *pixels, size_t height, size_t width, size_t channels,
                   struct shk_error *error);

// ---- Pictures that a model is asked about ----

struct shk_pictures;
// Decodes PNG and JPEG files on the runtime's threads, as the model's preprocessing has it. A path is a file, a folder (all files
// in it and below, but for hidden ones), or "-": standard input. NULL: there is none, or no memory; a file that cannot be read
// has an error and an image of zeros.
struct shk_pictures *shk_pictures_open(const struct shk_model *, const char *const *paths, size_t n,
                                       const struct shk_runtime *, struct shk_error *error);
void shk_pictures_free(struct shk_pictures *);
const struct shk_dataset *shk_pictures_data(const struct shk_pictures *); // a sample for each picture; labels are 0
const char *shk_pictures_name(const struct shk_pictures *, size_t index);
const char *shk_pictures_error(const struct shk_pictures *, size_t index); // NULL: it was read

#ifdef __cplusplus
}
#endif

#endif
