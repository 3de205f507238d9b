// SPDX-License-Identifier: MIT
// im2col and col2im go through the rows of pixels under each output; what lies beside the map is cut off first.
#include "kernel.h"

#include <string.h>

// The part of a row of taps that lies in the map: taps from .. to - 1, the first of which sees pixel `pixel` of the map.
struct run {
    size_t from, to, pixel;
    bool inside; // the row itself
};

static struct run run_of(const struct shk_im2col *a, size_t output, size_t ky) {
    const ptrdiff_t y = (ptrdiff_t)(output / a->out_w * a->stride + ky) - (ptrdiff_t)a->pad;
    const ptrdiff_t x = (ptrdiff_t)(output % a->out_w * a->stride) - (ptrdiff_t)a->pad;
    const ptrdiff_t kernel = (ptrdiff_t)a->kernel, w = (ptrdiff_t)a->w;
    const ptrdiff_t from = x < 0 ? -x : 0, to = x + kernel > w ? w - x : kernel;
    if (y < 0 || y >= (ptrdiff_t)a->h || from >= to) return (struct run){.inside = false};
    return (struct run){(size_t)from, (size_t)to, (size_t)(y * w + x + from), true};
}

void SHK_KERNEL(im2col)(const struct shk_im2col *a) {
    const size_t c = a->c, row = a->kernel * c;
    float *out = a->cols;
    for (size_t r = 0; r < a->rows; r++) {
        for (size_t ky = 0; ky < a->kernel; ky++, out += row) {
            const struct run run = run_of(a, a->first + r, ky);
            if (!run.inside || run.to - run.from < a->kernel) memset(out, 0, row * sizeof *out);
            if (run.inside) memcpy(out + run.from * c, a->map + run.pixel * c, (run.to - run.from) * c * sizeof *out);
        }
    }
}

void SHK_KERNEL(col2im)(const struct shk_im2col *a) {
    const size_t c = a->c, row = a->kernel * c;
    const float *in = a->cols;
    for (size_t r = 0; r < a->rows; r++) {
        for (size_t ky = 0; ky < a->kernel; ky++, in += row) {
            const struct run run = run_of(a, a->first + r, ky);
            if (!run.inside) continue;
            const float *from = in + run.from * c;
            float *to = a->map + run.pixel * c;
            for (size_t i = 0; i < (run.to - run.from) * c; i += 16)
                vf_store(to + i, vf_add(vf_load(to + i), vf_load(from + i)));
        }
    }
}
