// SPDX-License-Identifier: MIT
// winograd takes blocks of tiles: their input is transformed, each of the 36 positions is a small matrix product, and the output is
// transformed back.
#include "winograd_products.h"
#include "winograd_tiles.h"

// One call, and where it stands.
struct run {
    const struct shk_winograd *c;
    struct block b;
    struct map_tiles in;
    struct map_tile at[TILES];
    size_t panel;
};

void SHK_KERNEL(winograd_flipped)(const struct shk_winograd_flipped *a) {
    for (size_t ci = 0; ci < a->cin; ci += 16)
        for (size_t co = 0; co < 16; co++) {
            vf g[9];
            SHK_UNROLL
            for (int t = 0; t < 9; t++) g[t] = vf_load(a->taps + (co * 9 + 8 - t) * a->cin + ci);
            transform_nine(g, a->weights + ci * POINTS * a->cout + (a->first + co) * 16, a->cout * 16);
        }
}

static void transform_input(const struct run *r) {
    for (size_t i = 0; i < r->b.n; i++)
        for (size_t channel = 0; channel < r->c->cin; channel += 16)
            transform_map_tile(&r->in, &r->at[i], channel, r->b.v + channel * TILES + 16 * i, r->b.v_step);
}

// 16 channels from `channel` on.
SHK_INLINE void finish(const struct shk_winograd *c, size_t channel, vf z, float *out) {
    if (c->mean)
        z = vf_fma(vf_sub(z, vf_load(c->mean + channel)), vf_load(c->scale + channel), vf_load(c->shift + channel));
    if (c->accumulate) z = vf_add(z, vf_load(out));
    if (c->relu) z = vf_max(vf_zero(), z);
    vf_store(out, z);
}

// A row of a tile's outputs, as far as they are in the map.
SHK_INLINE void finish_row(const struct run *r, const vf *columns, size_t inside, float *out) {
    vf z[4];
    transform_output_six(columns, z, 1);
    SHK_UNROLL
    for (size_t dx = 0; dx < 4; dx++)
        if (dx < inside) finish(r->c, 16 * r->panel, z[dx], out + dx * r->c->cout);
}

static void transform_output(const struct run *r) {
    const struct shk_winograd *c = r->c;
    for (size_t i = 0; i < r->b.n; i++) {
        const struct map_tile *at = &r->at[i];
        const size_t y = 4 * at->ty, x = 4 * at->tx;
        float *out = c->out + at->sample * c->out_sample + (y * c->w + x) * c->cout + 16 * r->panel;
        vf s[24];
        load_columns(r->b.m + 16 * i, s);
        SHK_UNROLL
        for (size_t dy = 0; dy < 4; dy++)
            if (y + dy < c->h) finish_row(r, s + 6 * dy, c->w - x, out + dy * c->w * c->cout);
    }
}

void SHK_KERNEL(winograd)(const struct shk_winograd *c) {
    struct run r = {.c = c, .in = {.map = c->in, .h = c->h, .w = c->w, .ld = c->cin, .sample = c->in_sample}};
    float *scratch = c->scratch;
    r.in.zeros = clear_row(scratch, c->cin);
    r.b = (struct block){.k = c->cin, .v_step = c->cin * TILES + 16, .v = scratch + 6 * c->cin};
    r.b.m = r.b.v + POINTS * r.b.v_step;
    for (struct map_tile next = {0, 0, 0}; next.sample < c->samples;) {
        for (r.b.n = 0; r.b.n < TILES && next.sample < c->samples; next_tile(&r.in, &next)) r.at[r.b.n++] = next;
        transform_input(&r);
        for (r.panel = 0; r.panel < c->cout / 16; r.panel++) {
            r.b.u = c->weights + r.panel * POINTS * c->cin * 16;
            r.b.bias = c->bias ? c->bias + 16 * r.panel : NULL;
            multiply(&r.b);
            transform_output(&r);
        }
    }
}
