// SPDX-License-Identifier: MIT
// The conv3x3 kernels are a 3x3 convolution (stride 1, pad 1), bias, ReLU and 2x2 max-pool (stride 2, floor) as one
// layer, of some samples, and its gradients.
//
//   wy < h/2, wx < w/2: a window of the pool                 odd h or w: the last row or column is not pooled
//   a in 0..3: a position in it, dy = a/2, dx = a%2          row-major
//   t = ky*3 + kx in 0..8: a tap
//   for each sample, wy, wx, co:
//       z[a] = bias[co] + sum over (t, ci) of in[2wy+dy+ky][2wx+dx+kx][ci] * weight(co, t, ci)
//       out[wy][wx][co] = max(0, max over a of z[a])         a NaN among the four is the maximum: out = NaN, 0x7fc00000
//       winners[wy][wx][co] = the first a that has the maximum, or 4 if the maximum is <= 0 or NaN
//
// Weights of an image (in_ld < 16) come as panels [cout/16][9*cin][16] (row index t*cin + ci); those of a map (in_ld >=
// 16) as taps [cout][9][in_ld] and, transformed by conv3x3_weights, as winograd [cout/16][36][cin][16].
//
// forward reads in, bias, and panels or winograd; writes out, and winners unless NULL.
//   An image of 2 to 4 channels: z[a] is one chain from bias[co]:
//       for t, ci: z[a] = fma(in, weight, z[a])
//   An image of one channel: Winograd's F(2x2, 3x3) (Lavin and Gray 2016), a tile being one window:
//       G(a, b, c) = (a, (s + b)/2, (s - b)/2, c) with s = a + c
//       BT(d0..d3) = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//       U = G of the columns (ky) of the taps, then of the rows; in double, rounded at the end
//       V = BT of the columns of the 4x4 pixels under the window, then of the rows
//       for each column x:                                   s = A^T (U*V)
//           m = V[1]*U[1], but fma(V[1], U[1], bias) in column 1, which reaches all of z
//           s[0] = fma(V[0], U[0], fma(V[2], U[2], m)); s[1] = fnma(V[3], U[3], fnma(V[2], U[2], m))
//       z of a row (s0..s3) = ((s0 + s1) + s2, (s1 - s2) - s3)
//   A map: Winograd's F(4x4, 3x3) on tiles of 2x2 windows, the first at window (0, 0):
//       BT(d0..d5) = (fma(4, d0, fma(-5, d2, d4)), a + b, a - b, fma(2, f, e), fma(-2, f, e), fma(4, d1, fma(-5, d3,
//       d5)))
//           with a = fma(-4, d2, d4), b = fma(-4, d1, d3), e = d4 - d2, f = d3 - d1
//       AT(m0..m5) = ((m0 + a) + c, fma(2, d, b), fma(4, c, a), fma(8, d, b) + m5)
//           with a = m1 + m2, b = m1 - m2, c = m3 + m4, d = m3 - m4
//       V = BT of the columns of the 6x6 pixels from the first window's on (zeros beyond the map), then of the rows
//       M[i][j] = 0, but M[1][1] = bias[co], which reaches all of z
//       for ci: M[i][j] = fma(V[i][j], U[i][j], M[i][j])
//       z = AT of the columns of M, then of the rows
// conv3x3_weights makes 16 channels of winograd, point 6i + j being U[i][j]:
//       G(g0, g1, g2) = (g0/4, -(a + g1)/6, -(a - g1)/6, fma(2, g1, b)/24, fma(-2, g1, b)/24, g2), the divisors as
//       rounded
//           factors, with a = g0 + g2, b = fma(4, g2, g0)
//       U = G of the columns (ky) of the taps, then of the rows
// dgrad (in_ld a multiple of 16) reads dout, winners, taps; overwrites din, whose border then holds nothing specified:
//       din = 0
//       for each block of SHK_CONV3X3_BLOCK output channels, for each window, row-major:
//           patch[4][4][in_ld] = 0
//           for a, for co of the block with winners[wy][wx][co] == a, for each t and ci:
//               patch[dy+ky][dx+kx][ci] = fma(dout[wy][wx][co], weight(co, t, ci), patch[dy+ky][dx+kx][ci])
//           din from the window's pixels on += patch
// wgrad reads in, dout, winners; adds to dweight (as taps if in_ld >= 16, else as panels) and dbias; if fresh it writes
//   them, as if they were 0 before. Where there are totals, it adds the complete sums to these, and dweight and dbias are
//   of no meaning afterwards: dweight_total = dweight_total + dweight. Each element is
// one chain from what was there:
//       for each sample, for each window, row-major, where a = winners[wy][wx][co] is not 4:
//           dweight(co, t, ci) = fma(in[2wy+dy+ky][2wx+dx+kx][ci], dout[wy][wx][co], dweight(co, t, ci))
//           dbias[co] = dbias[co] + dout[wy][wx][co]
//   The pad elements of dweight (ci >= cin in taps) stay zero because the pad channels of `in` are zero.
#ifndef SHK_SIMD_CONV3X3_H
#define SHK_SIMD_CONV3X3_H

#include "contract.h"

struct shk_conv3x3 {
    size_t h, w;     // input height and width, >= 2
    size_t cin;      // input channels, any >= 1
    size_t in_ld;    // floats of an input pixel: cin (<= 4) of an image, round16(cin) of a map
    size_t cout;     // output channels, padded: multiple of 16
    const float *in; // [h+2][w+2][in_ld], border zero; of an image any alignment
    const float *panels, *taps, *winograd;
    const float *bias;         // [cout]
    float *out;                // out[wy*out_row + wx*out_px + co]
    ptrdiff_t out_row, out_px; // also the strides of dout
    uint8_t *winners;          // [h/2][w/2][cout], alignment 16
    size_t samples;            // how many, and from one to the next of in and din, out and dout, winners:
    size_t in_sample, out_sample, winners_sample;
    const float *dout;
    float *din; // [h+2][w+2][in_ld]
    float *dweight, *dbias;
    bool fresh;
    float *dweight_total, *dbias_total; // or NULL
    void *scratch;                      // shk_conv3x3_scratch() bytes, 64-byte aligned, contents unspecified
};
struct shk_conv3x3_weights {
    size_t cin, in_ld; // as above, in_ld >= 16
    const float *taps; // [16][9][in_ld]
    float *winograd;   // [36][cin][16]
};
// A block of tiles transformed, and their products with a panel; the masks of a row of windows and a packed slice
// of taps for dgrad; a chunk of windows for wgrad; an image with its rows in pairs.
#define SHK_WINOGRAD_POINTS 36
#define SHK_CONV3X3_TILES 16
#define SHK_CONV3X3_BLOCK 32
#define SHK_CONV3X3_MASKS(w) (((w) / 2 * 32 + 63) & ~(size_t)63)
#define SHK_CONV3X3_CHUNK 64
#define SHK_CONV3X3_CHUNK_BYTES (21 * 1024)
// Windows of a chunk, at most SHK_CONV3X3_CHUNK: the pixels under them and what is known of them fit L1.
static inline size_t shk_conv3x3_chunk(size_t in_ld) { return in_ld > 16 ? 32 : 64; }
// Rows of pixels under a chunk's windows: two for each row of windows, and up to three more for each sample.
static inline size_t shk_conv3x3_chunk_rows(size_t h, size_t w, size_t in_ld) {
    const size_t wh = h / 2, ww = w / 2, chunk = shk_conv3x3_chunk(in_ld);
    return 2 * (chunk / ww + 2) + 3 * (chunk / (wh * ww) + 2);
}
// Floats of two rows of pixels side by side, in whole vectors.
static inline size_t shk_conv3x3_pairs(size_t w) { return 2 * ((w + 2 + 15) & ~(size_t)15); }
static inline size_t shk_conv3x3_scratch(size_t h, size_t w, size_t in_ld) {
    const size_t image = (h + 1) * shk_conv3x3_pairs(w) * sizeof(float),
                 taps = SHK_CONV3X3_BLOCK * 9 * 16 * sizeof(float);
    const size_t forward = SHK_WINOGRAD_POINTS * ((in_ld + 16) * SHK_CONV3X3_TILES + 32) * sizeof(float);
    const size_t dgrad = SHK_CONV3X3_MASKS(w) + taps;
    const size_t packed = in_ld > 16 ? shk_conv3x3_chunk_rows(h, w, in_ld) * (w + 2) * in_ld * sizeof(float) : 0;
    const size_t wgrad = SHK_CONV3X3_CHUNK_BYTES + packed, backward = dgrad > wgrad ? dgrad : wgrad;
    if (in_ld < 16) return (image + 63) & ~(size_t)63;
    return forward > backward ? forward : backward;
}

#endif
