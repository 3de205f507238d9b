// SPDX-License-Identifier: MIT
// Writes NumPy's .npz: a zip of arrays, not packed, as numpy.savez does.
#include "data/write/write.h"
#include <minizip/zip.h>
#include <stdio.h>
#include <string.h>

// ---- minizip writes into our file ----

struct zipped {
    struct shk_file_out file;
    ZPOS64_T at, end; // where the next byte goes, and where bytes end
};

static voidpf open_it(voidpf z, const void *name, int mode) {
    (void)name, (void)mode;
    return z;
}

// What was written is patched where minizip learns a length afterwards.
static uLong write_some(voidpf opaque, voidpf stream, const void *bytes, uLong size) {
    struct zipped *z = stream;
    (void)opaque;
    if (z->at < z->end)
        shk_file_patch(&z->file, z->at, bytes, size);
    else
        shk_file_put(&z->file, bytes, size);
    z->at += size;
    if (z->at > z->end) z->end = z->at;
    return size;
}

static uLong read_none(voidpf opaque, voidpf stream, void *bytes, uLong size) {
    (void)opaque, (void)stream, (void)bytes, (void)size;
    return 0;
}

static ZPOS64_T tell(voidpf opaque, voidpf stream) {
    (void)opaque;
    return ((struct zipped *)stream)->at;
}

static long seek(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin) {
    struct zipped *z = stream;
    (void)opaque;
    z->at = origin == ZLIB_FILEFUNC_SEEK_SET ? offset : (origin == ZLIB_FILEFUNC_SEEK_CUR ? z->at : z->end) + offset;
    return 0;
}

// Failures are kept by the file until its end.
static int no_error(voidpf opaque, voidpf stream) {
    (void)opaque, (void)stream;
    return 0;
}

static zipFile begin(struct zipped *z) {
    zlib_filefunc64_def functions = {open_it, read_none, write_some, tell, seek, no_error, no_error, z};
    return zipOpen2_64("", APPEND_STATUS_CREATE, NULL, &functions);
}

// ---- Arrays ----

// numpy.org/doc/stable/reference/generated/numpy.lib.format.html: 10 bytes, and a text that ends at a multiple of 64.
enum { NPY_HEADER = 192 };

static bool begin_array(zipFile zip, const char *name, const char *type, const char *shape, size_t bytes,
                        struct shk_error *err) {
    enum { BEGIN = 10, LENGTH = NPY_HEADER - BEGIN };
    const zip_fileinfo info = {.tmz_date = {.tm_mday = 1, .tm_year = 1980}};
    const int large = bytes > UINT32_MAX - NPY_HEADER; // than what a zip without an extension says
    char header[NPY_HEADER + 1];
    memcpy(header, "\x93NUMPY\1\0", 8);
    header[8] = (char)(unsigned char)LENGTH;
    header[9] = 0;
    const int used =
        snprintf(header + BEGIN, LENGTH, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    snprintf(header + BEGIN + used, (size_t)(LENGTH - used) + 1, "%*s", LENGTH - used, "\n");
    return (zipOpenNewFileInZip64(zip, name, &info, NULL, 0, NULL, 0, NULL, 0, 0, large) == ZIP_OK &&
            zipWriteInFileInZip(zip, header, NPY_HEADER) == ZIP_OK) ||
           shk_fail(err, SHK_FAILED, "out of memory for a zip");
}

static bool end_array(zipFile zip, struct shk_error *err) {
    return zipCloseFileInZip(zip) == ZIP_OK || shk_fail(err, SHK_FAILED, "a zip cannot be written");
}

static bool put(zipFile zip, const void *bytes, size_t size, struct shk_error *err) {
    return zipWriteInFileInZip(zip, bytes, (unsigned)size) == ZIP_OK ||
           shk_fail(err, SHK_FAILED, "a zip cannot be written");
}

// Whether all images of all parts are bytes.
static bool are_bytes(const struct shk_writing *w) {
    struct shk_error none;
    for (unsigned part = 0; part < SHK_PARTS; part++)
        for (size_t i = 0; w->data->parts[part] && i < w->data->parts[part]->n; i++)
            if (!shk_writing_bytes(w, part, i, &none)) return false;
    return true;
}

static bool write_images(const struct shk_writing *w, zipFile zip, enum shk_part part, bool bytes,
                         struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    const struct shk_shape *s = &d->shape;
    const size_t pixels = shk_dataset_pixels_of(d), each = bytes ? 1 : sizeof(float);
    char name[40], shape[100];
    snprintf(name, sizeof name, "x_%s.npy", shk_written_parts[part]);
    const int used = snprintf(shape, sizeof shape, "%zu, %zu, %zu", d->n, s->height, s->width);
    if (s->channels > 1) snprintf(shape + used, sizeof shape - (size_t)used, ", %zu", s->channels);
    if (!begin_array(zip, name, bytes ? "|u1" : "<f4", shape, d->n * pixels * each, err)) return false;
    for (size_t i = 0; i < d->n; i++) {
        if (!shk_writing_goes_on(w, err) || (bytes && !shk_writing_bytes(w, part, i, err)) ||
            !put(zip, bytes ? (const void *)w->bytes : shk_dataset_image(d, i), pixels * each, err))
            return false;
    }
    return end_array(zip, err);
}

static bool write_labels(const struct shk_writing *w, zipFile zip, enum shk_part part, struct shk_error *err) {
    const struct shk_dataset *d = w->data->parts[part];
    char name[40], shape[40];
    snprintf(name, sizeof name, "y_%s.npy", shk_written_parts[part]);
    snprintf(shape, sizeof shape, "%zu,", d->n);
    if (!begin_array(zip, name, "<i4", shape, 4 * d->n, err)) return false;
    for (size_t i = 0; i < d->n; i++) {
        const uint32_t x = d->labels[i];
        const unsigned char little[] = {(unsigned char)x, (unsigned char)(x >> 8), (unsigned char)(x >> 16),
                                        (unsigned char)(x >> 24)};
        if (!put(zip, little, sizeof little, err)) return false;
    }
    return end_array(zip, err);
}

static bool write_arrays(const struct shk_writing *w, zipFile zip, struct shk_error *err) {
    const bool bytes = are_bytes(w);
    for (unsigned part = 0; part < SHK_PARTS; part++)
        if (w->data->parts[part] && (!write_images(w, zip, part, bytes, err) || !write_labels(w, zip, part, err)))
            return false;
    return true;
}

bool shk_write_npz(const struct shk_writing *w, struct shk_error *err) {
    struct zipped z = {0};
    if (!shk_writing_knows_classes(w, shk_writing_shape(w).classes - 1, err)) return false;
    if (shk_dataset_class(w->data->parts[SHK_PART_TRAIN], 0))
        shk_writing_note(w, "the names of classes are not kept: a .npz has numbers only");
    if (!shk_file_create(&z.file, NULL, w->path, err)) return false;
    zipFile zip = begin(&z);
    bool ok = zip ? write_arrays(w, zip, err) : shk_fail(err, SHK_FAILED, "out of memory for a zip");
    if (zip && zipClose(zip, NULL) != ZIP_OK && ok) ok = shk_fail(err, SHK_FAILED, "a zip cannot be written");
    if (ok) return shk_file_finish(&z.file, err);
    shk_file_abandon(&z.file);
    return false;
}
