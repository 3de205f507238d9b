// SPDX-License-Identifier: MIT
// The depthwise kernels are a convolution in which each channel has a filter of its own, its input gradient and its weight
// gradient.
//
//   t = ky*kernel + kx; a tap (ky, kx) of output (y, x) sees pixel (y*stride + ky - pad, x*stride + kx - pad), if the map has that.
//   W(t, c) = weights[c / 16][t][c % 16], of dweights likewise
//   forward, for y < out_h, x < out_w, c:
//       s = bias ? bias[c] : 0; for t in ascending order, where it sees a pixel: s = fma(in[the pixel][c], W(t, c), s)
//       out[y][x][c] = relu ? vf_max(0, s) : s
//   dgrad, for the pixels (y, x) of the map, c:
//       s = accumulate ? din[y][x][c] : 0
//       for the outputs that see it, row-major, through t: s = fma(dout[the output][c], W(t, c), s)
//       din[y][x][c] = s
//   wgrad, for t, c:
//       for the outputs, row-major, whose tap t sees a pixel: dW(t, c) = fma(in[the pixel][c], dout[the output][c], that)
#ifndef SHK_SIMD_DEPTHWISE_H
#define SHK_SIMD_DEPTHWISE_H

#include "contract.h"

struct shk_depthwise {
    size_t h, w, c; // of the map [h][w][c] that is read; c: multiple of 16
    size_t kernel, stride;
    size_t pad; // less than kernel
    size_t out_h, out_w;
    const float *in;      // forward, wgrad
    const float *weights; // [c/16][kernel^2][16]; forward, dgrad
    const float *bias;    // [c] or NULL; forward
    bool relu;            // forward
    float *out;           // [out_h][out_w][c]; forward
    const float *dout;    // dgrad, wgrad
    float *din;           // dgrad
    bool accumulate;      // dgrad
    float *dweights;      // wgrad
};

#endif
