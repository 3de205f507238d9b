// SPDX-License-Identifier: MIT
// The winograd kernels are a 3x3 convolution (stride 1, pad 1) of maps without a border, by Winograd's F(4x4, 3x3) (Lavin and Gray
// 2016), and its gradients. BT, AT and G are those of conv3x3.h.
//
//   ty < (h+3)/4, tx < (w+3)/4: a tile of 4x4 outputs; pixels beyond the map are zeros, outputs beyond it are left out
//   winograd, for each sample, tile, co:
//       V = BT of the columns of the 6x6 pixels from (4ty-1, 4tx-1) on, then of the rows
//       M[i][j] = 0, but M[1][1] = bias[co] if there is one
//       for ci: M[i][j] = fma(V[i][j], U[i][j], M[i][j])
//       z = AT of the columns of M, then of the rows
//       norm ? z = fma(z - mean[co], scale[co], shift[co])
//       accumulate ? out = z + out : relu ? out = vf_max(0, z) : out = z
//   It is the forward pass with conv3x3_weights' U, and the input gradient with that of winograd_flipped: in and out are then
//   the gradients of out and in.
//   winograd_flipped makes what one panel of output channels gives to U of the input gradient:
//       U = G of the columns of the taps, both ways from last to first, then of the rows
//   winograd_wgrad adds to dweight, in runs of `run` tiles, row-major; where samples are not joined, a sample's last run ends with
//   it. For each:
//       A(y0..y3) = (y0, a + b, a - b, c + d, c - d, y3)
//           with a = y0 + y2, b = y1 + y3, c = fma(4, y2, y0), d = fma(8, y3, y1 + y1)
//       GT(u0..u5) = (fma(1/24, c, fma(-1/6, a, u0/4)), fma(1/12, d, -1/6 * b), fma(1/6, c, fma(-1/6, a, u5)))
//           with a = u1 + u2, b = u1 - u2, c = u3 + u4, d = u3 - u4, the divisors as rounded factors
//       V as above; N = A of the columns of the tile's 4x4 dout, then of the rows
//       dU[i][j] = 0, and for each tile of the run: dU[i][j] = fma(N[i][j], V[i][j], dU[i][j])
//       dW = GT of the columns of dU, then of the rows
//       dweight = that, for the first run if fresh; else dweight + dW
//   Where there is a total, it adds the complete sum to this, total = total + dweight, and dweight is of no meaning afterwards.
#ifndef SHK_SIMD_WINOGRAD_H
#define SHK_SIMD_WINOGRAD_H

#include "conv3x3.h"

struct shk_winograd {
    size_t h, w;                       // of both maps, >= 1
    size_t cin, cout;                  // multiples of 16; floats of a pixel
    const float *in;                   // [h][w][cin]
    const float *weights;              // [cout/16][36][cin][16]; of winograd
    const float *bias;                 // [cout] or NULL
    const float *mean, *scale, *shift; // [cout]: the norm; or NULL
    bool relu, accumulate;             // not both
    float *out;                        // [h][w][cout]
    size_t samples;                    // how many, and floats from one to the next:
    size_t in_sample, out_sample;
    // Of winograd_wgrad:
    const float *dout; // [h][w][cout], and floats from one pixel to the next:
    size_t dout_ld;
    size_t run;     // tiles, >= 1
    bool joined;    // a run goes on from one sample to the next
    float *dweight; // taps [cout][9][cin]
    bool fresh;
    float *total;  // or NULL
    void *scratch; // shk_winograd_scratch() bytes, of winograd_wgrad shk_winograd_wgrad_scratch(), 64-byte aligned
};
struct shk_winograd_flipped {
    size_t cin, cout;  // multiples of 16
    size_t first;      // output channel of the panel
    const float *taps; // [16][9][cin]
    float *weights;    // [cin/16][36][cout][16], of which rows first .. first + 15 are written
};

static inline size_t shk_winograd_count(size_t side) { return (side + 3) / 4; }
// Tiles of a run of the weight gradient: what is transformed of them fits L2.
static inline size_t shk_winograd_run(size_t cin, size_t cout) {
    const size_t tiles = 4096 / (cin + cout) & ~(size_t)7;
    return tiles < 8 ? 8 : tiles;
}
static inline size_t shk_winograd_scratch(size_t cin) {
    return (6 * cin + SHK_WINOGRAD_POINTS * (cin * SHK_CONV3X3_TILES + 16 + SHK_CONV3X3_TILES * 16 + 16)) *
           sizeof(float);
}
static inline size_t shk_winograd_wgrad_scratch(size_t cin, size_t cout, size_t run) {
    return (6 * cin + 18 * cout * 16 + SHK_WINOGRAD_POINTS * ((16 + cout) * run + 32)) * sizeof(float);
}

#endif
