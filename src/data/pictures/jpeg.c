// SPDX-License-Identifier: MIT
// Decodes JPEG by libjpeg(-turbo), with limits and handlers of our own.
#include "base/memory.h"
#include "data/pictures/picture.h"
#include <setjmp.h>
#include <stdio.h> // jpeglib.h needs FILE

#include <jerror.h>
#include <jpeglib.h>
#include <string.h>

// A progressive file can make its decoder pass over all its pixels again with every few bytes.
enum { MOST_SCANS = 100 };

// libjpeg leaves a function by longjmp: what must be freed then is here.
struct decoder {
    struct jpeg_decompress_struct jpeg; // first: the handlers get it
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    struct shk_encoded *in;
    struct shk_error *err;
    struct shk_picture *out;
    unsigned char *row; // of cyan, magenta, yellow, black
};

static void refuse(struct decoder *d, const char *why) {
    shk_fail(d->err, SHK_BAD_INPUT, "%s: this JPEG cannot be decoded: %s", d->in->name, why);
    longjmp(d->jump, 1);
}

static void fail(j_common_ptr jpeg) {
    char why[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, why);
    refuse((struct decoder *)jpeg, why);
}

// Data that ends within the picture is an error; what decoders can do without is not.
static void message(j_common_ptr jpeg, int level) {
    if (level < 0 && (jpeg->err->msg_code == JWRN_JPEG_EOF || jpeg->err->msg_code == JWRN_HIT_MARKER)) fail(jpeg);
}

static void progress(j_common_ptr jpeg) {
    if (((j_decompress_ptr)jpeg)->input_scan_number > MOST_SCANS)
        refuse((struct decoder *)jpeg, "it has more than 100 scans");
}

static void print_nothing(j_common_ptr jpeg) { (void)jpeg; }

static unsigned orientation_of(const struct decoder *d) {
    for (jpeg_saved_marker_ptr m = d->jpeg.marker_list; m; m = m->next)
        if (m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return shk_exif_orientation(m->data + 6, m->data_length - 6);
    return 0;
}

// Adobe's files have inverted inks: 255 is none.
static void convert_inks(const struct decoder *d, uint8_t *to) {
    const unsigned char *ink = d->row;
    for (size_t x = 0; x < d->out->width; x++, ink += 4)
        for (size_t c = 0; c < 3; c++) {
            const unsigned colour = d->jpeg.saw_Adobe_marker ? ink[c] : 255u - ink[c];
            const unsigned black = d->jpeg.saw_Adobe_marker ? ink[3] : 255u - ink[3];
            *to++ = (uint8_t)((colour * black + 127) / 255);
        }
}

static bool begin(struct decoder *d) {
    jpeg_mem_src(&d->jpeg, d->in->bytes, d->in->size);
    jpeg_save_markers(&d->jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&d->jpeg, TRUE);
    d->in->orientation = orientation_of(d);
    const int colours = d->jpeg.num_components;
    d->jpeg.out_color_space = colours == 1 ? JCS_GRAYSCALE : colours == 4 ? JCS_CMYK : JCS_RGB;
    d->jpeg.dct_method = JDCT_ISLOW;
    d->jpeg.do_fancy_upsampling = TRUE;
    return shk_picture_new(d->out, d->jpeg.image_height, d->jpeg.image_width, colours == 1 ? 1 : 3, d->in, d->err);
}

static bool read_rows(struct decoder *d) {
    const bool inks = d->jpeg.out_color_space == JCS_CMYK;
    const size_t row = d->out->width * d->out->channels;
    if (inks && !(d->row = shk_alloc(d->out->width, 4, "a picture's row", d->err))) return false;
    jpeg_start_decompress(&d->jpeg);
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        uint8_t *to = d->out->pixels + d->jpeg.output_scanline * row;
        JSAMPROW at = inks ? d->row : to;
        jpeg_read_scanlines(&d->jpeg, &at, 1);
        if (inks) convert_inks(d, to);
    }
    jpeg_finish_decompress(&d->jpeg);
    return true;
}

// Under setjmp; no local variable is needed after a jump.
static bool decode(struct decoder *d) {
    if (setjmp(d->jump)) return false;
    jpeg_create_decompress(&d->jpeg);
    d->jpeg.progress = &d->progress;
    return begin(d) && (d->in->look || read_rows(d));
}

bool shk_jpeg_decode(struct shk_encoded *in, struct shk_picture *out, struct shk_error *err) {
    struct decoder d = {.in = in, .err = err, .out = out, .progress = {.progress_monitor = progress}};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = fail;
    d.errors.emit_message = message;
    d.errors.output_message = print_nothing;
    bool ok = decode(&d);
    jpeg_destroy_decompress(&d.jpeg);
    shk_free(d.row);
    return ok;
}

// libjpeg says by itself only what it is compatible with, and whose it is.
const char *shk_jpeg_version(void) {
    struct jpeg_error_mgr errors;
    return jpeg_std_error(&errors)->jpeg_message_table[JMSG_COPYRIGHT];
}
