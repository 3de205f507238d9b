// SPDX-License-Identifier: MIT
// The convolution's gradients visit winners alone: of the four positions of a pool window only the winner of each
// output channel carries a gradient, so a window costs nine FMAs per channel that is alive, not 36.
#include "conv3x3_parts.h"

// ---- Input gradient

#define BLOCK SHK_CONV3X3_BLOCK // output channels per pass, whose taps for 16 input channels fit L1
_Static_assert(BLOCK == 32, "winners_masks");

// Adds the channels of `alive` (bits) that won at position a: patch[dy + ky][dx + kx] += dout[co] * weight(co, ky, kx).
SHK_INLINE void patch_add(pv *patch, const int a, uint64_t alive, const float *dout, const float *taps) {
    for (; alive; alive &= alive - 1) {
        const size_t co = lowest_bit(alive);
        const pv d = pv_spread(dout + co);
        const float *w = taps + co * (9 * 16);
        __asm__("" : "+r"(w)); // one pointer and nine displacements, not nine pointers and an index
        SHK_UNROLL
        for (int t = 0; t < 9; t++) {
            const int at = (a / 2 + t / 3) * 4 + a % 2 + t % 3;
            patch[at] = pv_fma(d, pv_load(w + 16 * t), patch[at]);
        }
    }
}

// One window, PV_LANES input channels: the patch of 4x4 pixels is made in registers and added to din. Its right half
// overlaps the next window of the row and is handed on in `carry` [4][2]. fresh: rows that no window has reached are 0.
SHK_INLINE void window_dgrad(const bool fresh, const uint64_t *masks, const float *taps, const float *dout, float *din,
                             size_t row, size_t ld, pv *carry) {
    pv patch[16];
    SHK_UNROLL
    for (int i = 0; i < 16; i++) patch[i] = pv_zero();
    SHK_UNROLL
    for (int a = 0; a < 4; a++) patch_add(patch, a, masks[a], dout, taps);
    SHK_UNROLL
    for (int i = 0; i < 8; i++) {
        float *p = din + i / 2 * row + i % 2 * ld;
        const pv before = i < 4 || !fresh ? pv_load(p + 2 * ld) : pv_zero();
        pv_store(p, pv_add(carry[i], patch[i / 2 * 4 + i % 2]));
        carry[i] = pv_add(before, patch[i / 2 * 4 + 2 + i % 2]);
    }
}

// The winners of a row of windows in n channels as bits: masks[window][position]. Made ahead of their use, since the
// end of every list of channels is a branch that nothing can foresee.
static void row_masks(const struct shk_conv3x3 *c, const uint8_t *winners, size_t n, uint64_t *masks) {
    for (size_t wx = 0; wx < c->w / 2; wx++, winners += c->cout, masks += 4) winners_masks(winners, n, masks);
}

// One sample, sixteen input channels from `ci` on, a block of output channels from `co` on; taps: [BLOCK][9][16].
SHK_INLINE void block_dgrad(const struct shk_conv3x3 *c, const bool fresh, const size_t ld, const float *taps,
                            uint64_t *masks, size_t ci, size_t co) {
    const size_t row = (c->w + 2) * ld, n = c->cout - co < BLOCK ? c->cout - co : BLOCK;
    for (size_t wy = 0; wy < c->h / 2; wy++) {
        row_masks(c, c->winners + wy * (c->w / 2) * c->cout + co, n, masks);
        for (size_t l = 0; l < 16; l += PV_LANES) {
            const float *dout = c->dout + (ptrdiff_t)wy * c->out_row + co;
            float *din = c->din + 2 * wy * row + ci + l;
            pv carry[8];
            SHK_UNROLL
            for (int i = 0; i < 8; i++)
                carry[i] = i < 4 || !fresh ? pv_load(din + i / 2 * row + i % 2 * ld) : pv_zero();
            for (size_t wx = 0; wx < c->w / 2; wx++, dout += c->out_px, din += 2 * ld)
                window_dgrad(fresh, masks + wx * 4, taps + l, dout, din, row, ld, carry);
            SHK_UNROLL
            for (int i = 0; i < 8; i++) pv_store(din + i / 2 * row + i % 2 * ld, carry[i]);
        }
    }
}

static void samples_dgrad(const struct shk_conv3x3 *c, const float *taps, uint64_t *masks, size_t ci, size_t co) {
    struct shk_conv3x3 one = *c;
    for (size_t i = 0; i < c->samples; i++) {
        if (co > 0)
            block_dgrad(&one, false, c->in_ld, taps, masks, ci, co);
        else if (c->in_ld == 16)
            block_dgrad(&one, true, 16, taps, masks, ci, co);
        else
            block_dgrad(&one, true, c->in_ld, taps, masks, ci, co);
        one.dout += c->out_sample;
        one.winners += c->winners_sample;
        one.din += c->in_sample;
    }
}

void SHK_KERNEL(conv3x3_dgrad)(const struct shk_conv3x3 *c) {
    uint64_t *masks = c->scratch;
    float *slice = (float *)c->scratch + SHK_CONV3X3_MASKS(c->w) / sizeof(float);
    for (size_t i = 0; i < c->samples; i++) // rows that are read before they are written
        memset(c->din + i * c->in_sample, 0, 2 * (c->w + 2) * c->in_ld * sizeof(float));
    for (size_t ci = 0; ci < c->in_ld; ci += 16) {
        for (size_t co = 0; co < c->cout; co += BLOCK) {
            const float *taps = c->taps + co * 9 * c->in_ld;
            const size_t n = c->cout - co < BLOCK ? c->cout - co : BLOCK;
            if (c->in_ld > 16) { // made dense
                for (size_t i = 0; i < n * 9; i++) vf_store(slice + 16 * i, vf_load(taps + i * c->in_ld + ci));
                taps = slice;
            }
            samples_dgrad(c, taps, masks, ci, co);
        }
    }
}

// ---- Weight gradient

#define CHUNK SHK_CONV3X3_CHUNK // windows that are worked on at a time, at most
#define CHANNELS 32             // and output channels
#ifdef SHK_ISA_AVX512
#define GROUP 32 // input channels in registers at a time
#else
#define GROUP 16
#endif

struct winner {
    float value;    // dout
    uint32_t pixel; // of the input under tap 0
};

#ifdef SHK_ISA_AVX512
// By one load, which are the bound here.
SHK_INLINE size_t winner_load(const struct winner *w, pv *value) {
    uint64_t both;
    memcpy(&both, w, sizeof both);
    *value = vi_as_vf(vi_spread((uint32_t)both));
    return both >> 32;
}
#else
SHK_INLINE size_t winner_load(const struct winner *w, pv *value) {
    *value = pv_set1(w->value);
    return w->pixel;
}
#endif

// Where a gradient's sum goes on from (NULL: 0), what is added at its end (NULL: nothing), and where it goes.
struct chain {
    const float *from, *addend;
    float *to;
};

// From element `at` on, in the first or last of several calls that make the sum.
static struct chain chain_of(const struct shk_conv3x3 *c, bool first, bool last, float *own, float *total, size_t at) {
    const bool ends = last && total;
    return (struct chain){.from = first && c->fresh ? NULL : own + at,
                          .addend = ends ? total + at : NULL,
                          .to = (ends ? total : own) + at};
}
static struct chain weights_chain(const struct shk_conv3x3 *c, bool first, bool last, size_t at) {
    return chain_of(c, first, last, c->dweight, c->dweight_total, at);
}
static struct chain bias_chain(const struct shk_conv3x3 *c, bool first, bool last, size_t at) {
    return chain_of(c, first, last, c->dbias, c->dbias_total, at);
}

// What is known of a chunk, by window and output channel. Rows are padded, so that one channel's winners, read window
// after window, share no few sets of L1.
struct chunk {
    _Alignas(64) struct winner winner[CHUNK][CHANNELS + 8];
    _Alignas(64) uint32_t alive[CHUNK];      // bit: channel
    _Alignas(64) uint64_t windows[CHANNELS]; // bit: window, of those alive
};
_Static_assert(sizeof(struct chunk) <= SHK_CONV3X3_CHUNK_BYTES, "scratch");

// A chunk's windows first .. first + n - 1 of all samples, and the input pixels under them: from row y of the first
// sample to before row end of the last, whole maps between. They are used in place where a pixel is a vec16; otherwise
// they are packed in groups of channels: strided pixels would share few sets of L1.
struct region {
    size_t first, n;
    size_t sample, last, y, end;
    bool begins, ends; // the call's sums
    size_t pixels;
    size_t sample_pixels, origin; // pixel (0, 0) of sample s is number s * sample_pixels - origin
};

static struct region region_of(const struct shk_conv3x3 *c, size_t first, size_t n) {
    const size_t wh = c->h / 2, ww = c->w / 2, final = first + n - 1, wide = c->w + 2;
    struct region r = {.first = first, .n = n, .sample = first / (wh * ww), .last = final / (wh * ww)};
    r.begins = first == 0;
    r.ends = first + n == c->samples * wh * ww;
    r.y = 2 * (first / ww % wh);
    r.end = 2 * (final / ww % wh) + 4;
    r.pixels = ((r.last - r.sample) * (c->h + 2) + r.end - r.y) * wide;
    r.sample_pixels = c->in_ld == 16 ? c->in_sample / 16 : (c->h + 2) * wide;
    r.origin = c->in_ld == 16 ? 0 : r.sample * r.sample_pixels + r.y * wide;
    return r;
}

// Channels l .. l + width - 1 (16 or 32) of the region's pixels.
static void pack_group(const struct shk_conv3x3 *c, const struct region *r, size_t l, size_t width, float *out) {
    const size_t wide = c->w + 2;
    for (size_t s = r->sample; s <= r->last; s++) {
        const size_t from = s == r->sample ? r->y : 0, to = s == r->last ? r->end : c->h + 2;
        const float *in = c->in + s * c->in_sample + from * wide * c->in_ld + l;
        for (size_t i = from * wide; i < to * wide; i++, in += c->in_ld, out += width)
            for (size_t j = 0; j < width; j += 16) vf_store(out + j, vf_load(in + j));
    }
}

static size_t group_at(size_t l, size_t ld) { return ld - l < GROUP ? 16 : GROUP; }

// Channels co .. co+15 into lanes l .. l+15; dbias too.
static void chunk_fill(const struct shk_conv3x3 *c, struct chunk *k, const struct region *r, size_t co, size_t l) {
    const size_t wh = c->h / 2, ww = c->w / 2, wide = c->w + 2;
    const uint32_t by_winner[16] = {0, 1, (uint32_t)wide, (uint32_t)wide + 1};
    const vf table = vi_as_vf(vi_loadu(by_winner));
    const struct chain chain = bias_chain(c, r->begins, r->ends, co);
    vf bias = chain.from ? vf_load(chain.from) : vf_zero();
    size_t sample = r->sample, wy = r->first / ww % wh, wx = r->first % ww;
    for (size_t i = 0; i < r->n; i++) {
        const vi winners = winners_load(c->winners + sample * c->winners_sample + (wy * ww + wx) * c->cout + co);
        const vm alive = vi_lt(winners, vi_set1(CONV_DEAD));
        const float *dout = c->dout + sample * c->out_sample + (ptrdiff_t)wy * c->out_row + (ptrdiff_t)wx * c->out_px;
        const vf d = vf_load(dout + co);
        const uint32_t pixel = (uint32_t)(sample * r->sample_pixels + 2 * wy * wide + 2 * wx - r->origin);
        bias = vf_select(alive, vf_add(bias, d), bias);
        const vi pixels = vi_add(vi_set1(pixel), vf_as_vi(vf_permute(table, winners)));
        vf_store_pairs(&k->winner[i][l].value, d, vi_as_vf(pixels));
        k->alive[i] |= vm_bits(alive) << l;
        if (++wx < ww) continue;
        wx = 0;
        if (++wy < wh) continue;
        wy = 0;
        sample++;
    }
    vf_store(chain.to, chain.addend ? vf_add(bias, vf_load(chain.addend)) : bias);
}

// The bit matrix [window][channel] turned over.
static void chunk_turn(struct chunk *k, size_t channels) {
    for (size_t i = 0; i < channels; i++) {
        const vi bit = vi_set1(1u << i);
        uint64_t m = 0;
        for (int g = 0; g < CHUNK; g += 16) m |= (uint64_t)vm_bits(vi_eq(vi_and(vi_load(k->alive + g), bit), bit)) << g;
        k->windows[i] = m;
    }
}

// `parts` x PV_LANES input channels of one output channel; in and dw start at them. A pixel has `width` floats.
SHK_INLINE void taps_add(const int parts, const struct chunk *k, size_t i, const float *in, size_t row,
                         const size_t width, const struct chain *dw, size_t ld) {
    pv acc[18];
    SHK_UNROLL
    for (int t = 0; t < 9 * parts; t++)
        acc[t] = dw->from ? pv_load(dw->from + t / parts * ld + t % parts * PV_LANES) : pv_zero();
    for (uint64_t m = k->windows[i]; m; m &= m - 1) {
        const size_t j = lowest_bit(m);
        pv d;
        const float *r0 = in + winner_load(&k->winner[j][i], &d) * width, *r1 = r0 + row, *r2 = r1 + row;
        SHK_UNROLL
        for (int t = 0; t < 9 * parts; t++) {
            const int tap = t / parts;
            const float *r = tap < 3 ? r0 : tap < 6 ? r1 : r2;
            acc[t] = pv_fma(d, pv_load(r + tap % 3 * width + t % parts * PV_LANES), acc[t]);
        }
    }
    if (dw->addend) {
        SHK_UNROLL
        for (int t = 0; t < 9 * parts; t++)
            acc[t] = pv_add(acc[t], pv_load(dw->addend + t / parts * ld + t % parts * PV_LANES));
    }
    SHK_UNROLL
    for (int t = 0; t < 9 * parts; t++) pv_store(dw->to + t / parts * ld + t % parts * PV_LANES, acc[t]);
}

// Functions of their own: elsewhere something would be spilled inside the loop.
static __attribute__((noinline)) void taps_16(const struct chunk *k, size_t i, const float *in, size_t row,
                                              const struct chain *dw, size_t ld) {
    taps_add(1, k, i, in, row, 16, dw, ld);
}

#ifdef SHK_ISA_AVX512
static __attribute__((noinline)) void taps_32(const struct chunk *k, size_t i, const float *in, size_t row,
                                              const struct chain *dw, size_t ld) {
    taps_add(2, k, i, in, row, 32, dw, ld);
}
#endif

// One chunk's share of the weights from element `at` on of `channels` output channels: of 16 input channels, then of a
// group of 32.
static void add_16(const struct shk_conv3x3 *c, const struct chunk *k, const struct region *r, size_t channels,
                   const float *in, size_t at, size_t ld) {
    for (size_t i = 0; i < channels; i++)
        for (size_t l = 0; l < 16; l += PV_LANES) {
            const struct chain dw = weights_chain(c, r->begins, r->ends, at + i * 9 * ld + l);
            taps_16(k, i, in + l, (c->w + 2) * 16, &dw, ld);
        }
}

#ifdef SHK_ISA_AVX512
static void add_32(const struct shk_conv3x3 *c, const struct chunk *k, const struct region *r, size_t channels,
                   const float *in, size_t at, size_t ld) {
    for (size_t i = 0; i < channels; i++) {
        const struct chain dw = weights_chain(c, r->begins, r->ends, at + i * 9 * ld);
        taps_32(k, i, in, (c->w + 2) * 32, &dw, ld);
    }
}
#endif

// in: the map itself, or its packed pixels.
static void chunk_add(const struct shk_conv3x3 *c, const struct chunk *k, const struct region *r, const float *in,
                      size_t co, size_t channels) {
    const size_t ld = c->in_ld, at = co * 9 * ld;
    if (ld == 16) {
        add_16(c, k, r, channels, in, at, 16);
        return;
    }
    for (size_t l = 0, width; l < ld; l += width) {
        width = group_at(l, ld);
#ifdef SHK_ISA_AVX512
        if (width == 32) {
            add_32(c, k, r, channels, in + l * r->pixels, at + l, ld);
            continue;
        }
#endif
        add_16(c, k, r, channels, in + l * r->pixels, at + l, ld);
    }
}

static void map_wgrad(const struct shk_conv3x3 *c) {
    struct chunk *k = c->scratch;
    float *packed = (float *)c->scratch + SHK_CONV3X3_CHUNK_BYTES / sizeof(float);
    const size_t windows = c->samples * (c->h / 2) * (c->w / 2), most = shk_conv3x3_chunk(c->in_ld);
    for (size_t first = 0; first < windows; first += most) {
        const struct region r = region_of(c, first, windows - first < most ? windows - first : most);
        for (size_t l = 0; l < c->in_ld && c->in_ld > 16; l += group_at(l, c->in_ld))
            pack_group(c, &r, l, group_at(l, c->in_ld), packed + l * r.pixels);
        for (size_t co = 0; co < c->cout; co += CHANNELS) {
            const size_t channels = c->cout - co < CHANNELS ? c->cout - co : CHANNELS;
            memset(k->alive, 0, sizeof k->alive);
            for (size_t l = 0; l < channels; l += 16) chunk_fill(c, k, &r, co + l, l);
            chunk_turn(k, channels);
            chunk_add(c, k, &r, c->in_ld == 16 ? c->in : packed, co, channels);
        }
    }
}

// ---- Weight gradient of images

#if PV_LANES == 16
#define AHEAD 1 // a window is made ready while the one before it is summed, which hides the latency of its choices
#else
#define AHEAD 0 // for which registers are too few
#endif

// What is needed of a window to sum it.
struct ready {
    pv_choice choice;
    pv d;
};

SHK_INLINE struct ready window_ready(const uint8_t *winners, const float *dout) {
    const pv_choice choice = pv_choose(winners);
    return (struct ready){choice, pv_alive(pv_load(dout), choice)};
}

// PV_LANES output channels, one input channel. zip: [y][x][2], pixel (y, x) beside (y + 1, x), in rows of `row` floats.
SHK_INLINE void image_lanes(const struct shk_conv3x3 *c, const float *zip, size_t row, const struct chain *dw,
                            const size_t tap_ld, size_t co, const struct chain *dbias) {
    const size_t ww = c->w / 2;
    pv acc[9], bias = dbias && dbias->from ? pv_load(dbias->from) : pv_zero();
    SHK_UNROLL
    for (int t = 0; t < 9; t++) acc[t] = dw->from ? pv_load(dw->from + t * tap_ld) : pv_zero();
    for (size_t wy = 0; wy < c->h / 2; wy++) {
        const uint8_t *winners = c->winners + wy * ww * c->cout + co;
        const float *dout = c->dout + (ptrdiff_t)wy * c->out_row + co, *z = zip + 2 * wy * row;
        struct ready next = window_ready(winners, dout);
        for (size_t wx = 0; wx < ww; wx++, z += 4) {
            const struct ready window = AHEAD ? next : window_ready(winners, dout);
            if (wx + 1 < ww) {
                winners += c->cout;
                dout += c->out_px;
            }
            if (AHEAD) next = window_ready(winners, dout);
            bias = pv_add(bias, window.d);
            SHK_UNROLL
            for (int t = 0; t < 9; t++) {
                const pv pixels = pv_pick(pv_pixels(z + t / 3 * row), t % 3, window.choice);
                acc[t] = pv_fma(pixels, window.d, acc[t]);
            }
        }
    }
    if (dbias) pv_store(dbias->to, dbias->addend ? pv_add(bias, pv_load(dbias->addend)) : bias);
    if (dw->addend) {
        SHK_UNROLL
        for (int t = 0; t < 9; t++) acc[t] = pv_add(acc[t], pv_load(dw->addend + t * tap_ld));
    }
    SHK_UNROLL
    for (int t = 0; t < 9; t++) pv_store(dw->to + t * tap_ld, acc[t]);
}

// The pixels of one input channel, with rows in pairs.
static void zip_channel(const struct shk_conv3x3 *c, const float *in, size_t row, float *restrict zip) {
    const size_t wide = c->w + 2, ld = c->in_ld;
    for (size_t y = 0; y <= c->h; y++, in += wide * ld, zip += row) {
        const float *upper = in, *lower = in + wide * ld;
        for (size_t x = 0; x < wide; x++) {
            zip[2 * x] = upper[x * ld];
            zip[2 * x + 1] = lower[x * ld];
        }
    }
}

// The same where there is but one.
static void zip_only(const struct shk_conv3x3 *c, size_t row, float *zip) {
    const size_t wide = c->w + 2;
    for (size_t x = 0; x < wide; x += 16) {
        const size_t n = wide - x < 16 ? wide - x : 16;
        const float *in = c->in + x;
        vf upper = vf_load_n(in, n);
        for (size_t y = 0; y <= c->h; y++) {
            in += wide;
            const vf lower = vf_load_n(in, n);
            vf_store_pairs(zip + y * row + 2 * x, upper, lower);
            upper = lower;
        }
    }
}

// Of one sample, the first or last of the call.
static void image_wgrad(const struct shk_conv3x3 *c, bool first, bool last) {
    const size_t row = shk_conv3x3_pairs(c->w);
    float *zip = c->scratch;
    for (size_t ci = 0; ci < c->cin; ci++) {
        if (c->in_ld == 1)
            zip_only(c, row, zip);
        else
            zip_channel(c, c->in + ci, row, zip);
        for (size_t co = 0; co < c->cout; co += PV_LANES) {
            const struct chain dbias = bias_chain(c, first, last, co);
            const struct chain dw = weights_chain(c, first, last, (co / 16 * 9 * c->cin + ci) * 16 + co % 16);
            image_lanes(c, zip, row, &dw, c->cin * 16, co, ci == 0 ? &dbias : NULL);
        }
    }
}

void SHK_KERNEL(conv3x3_wgrad)(const struct shk_conv3x3 *c) {
    if (c->in_ld >= 16) {
        map_wgrad(c);
        return;
    }
    struct shk_conv3x3 one = *c;
    for (size_t i = 0; i < c->samples; i++) {
        image_wgrad(&one, i == 0, i + 1 == c->samples);
        one.in += c->in_sample;
        one.dout += c->out_sample;
        one.winners += c->winners_sample;
    }
}
