// SPDX-License-Identifier: MIT
// The kernels: what each computes, on which shapes, in which order of rounding.
//
// Common to all:
// - f32. A "vec16" is 16 consecutive floats. Every pointer to float is aligned to 64 bytes and every stride is a
// multiple of 16 floats,
//   unless a field says "any". Kernels never thread and never allocate; they read and write only what the contract
//   names.
// - Channel and column counts are padded to multiples of 16; the pad lanes of weights, biases and activations are zero.
// - Same bits on every ISA: each output is ONE ordered chain of fused multiply-adds (or of adds), vectorised across
// outputs; where lanes
//   are summed, 16 partial sums and the one fold of vf_sum (vec16.h). Tile sizes may differ between ISAs since they do
//   not enter the bits.
// - "panels": a matrix [K][N] stored as [N/16][K][16].
#ifndef SHK_SIMD_KERNELS_H
#define SHK_SIMD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apply_rule.h"
#include "rules.h"

static inline size_t shk_round16(size_t n) { return (n + 15) & ~(size_t)15; }

// C = A B, with C(i, 16p+j) = c[p*c_panel + i*c_row + j], B(k, 16p+j) = b[p*b_panel + k*b_row + j], A(i, k) = a[i*a_row
// + k*a_col]. Every transposition that training needs is a choice of strides. m, n, k >= 1. Order: the chain of an
// output starts at C (accumulate), else at bias[n], else at 0; then k ascending; then, if relu, vf_max(0, x), which
// lets NaN and -0 through; then x*scale where bit n%16 of keep(i, n/16) is set, else 0 (dropout, and the gradient of
// a ReLU and dropout); then, unless alive is NULL, that bit of alive(i, n/16) = x > 0; then times factor(i, n); then
// times row_factor[i]; then addend(i, n) + x. And
// sums[n] += B(k, n), k ascending, unless sums is NULL: the gradient of a bias.
struct shk_gemm {
    size_t m, n, k;         // n: multiple of 16; m, k: any
    const float *a;         // alignment: any
    ptrdiff_t a_row, a_col; // any
    const float *b;
    ptrdiff_t b_row, b_panel;
    float *c; // does not overlap a or b
    ptrdiff_t c_row, c_panel;
    const float *bias; // [n] or NULL; not with accumulate
    bool accumulate;
    bool relu;
    const uint16_t *keep; // [m][n/16] or NULL
    float scale;
    uint16_t *alive;     // [m][n/16] or NULL; may be keep
    ptrdiff_t keep_row;  // of keep and alive, any
    const float *factor; // [m][n], may be c; or NULL
    ptrdiff_t factor_row;
    const float *row_factor; // [m], alignment: any, or NULL
    const float *addend;     // laid out as C, with strides of its own; may be c; or NULL
    ptrdiff_t addend_row, addend_panel;
    float *sums; // [n] or NULL
};

// C = A B where the zeros of A are left out, as those of a gradient behind a ReLU: C(i, j) = c[i*c_row + j], B(k, j) =
// b[k*b_row + j], A(i, k) = a[i*a_row + k*a_col], of which a_row or a_col is 1. m, n, k >= 1. Rows 2r and 2r + 1 are a
// pair. Order: the chain of an output starts at C (accumulate), else at 0; then blocks of SHK_SPARSE_DEPTH k ascending; in
// a block first the k at which neither row of the pair is 0 (NaN is not), ascending, then those at which only this one
// is not.
// rule, unless NULL: C are gradients, which the rule's weights take at once (rules.h); w and moments are laid out as C. What
// c holds afterwards is not specified.
enum { SHK_SPARSE_DEPTH = 64 };
struct shk_sparse_gemm {
    size_t m, n, k;         // n: multiple of 16; m, k: any
    const float *a;         // alignment: any
    ptrdiff_t a_row, a_col; // any
    const float *b;
    ptrdiff_t b_row;
    float *c; // does not overlap a or b
    ptrdiff_t c_row;
    bool accumulate;
    const struct shk_rule *rule;
};

// 3x3 convolution (stride 1, pad 1), bias, ReLU and 2x2 max-pool (stride 2, floor) as one layer, of some samples, and its
// gradients. With (wy, wx) a pool window, wy < h/2, wx < w/2; a in 0..3 a position in it (row-major: dy = a/2, dx =
// a%2); tap t = ky*3+kx in 0..8:
//   z[wy][wx][a][co] = bias[co] + sum over (t, ci) of in[2wy+dy+ky][2wx+dx+kx][ci] * weight(co, t, ci)
//   out[wy][wx][co]  = max(0, max over a of z); arg = the first a (row-major) that has the maximum, or 4 if the
//   maximum is <= 0 or NaN
// (a NaN among the four is the maximum: out = NaN, bits 0x7fc00000). Odd h or w: the last row or column is not pooled
// and not computed.
// Weights of an image (in_ld < 16) come as panels [cout/16][9*cin][16] (row index t*cin + ci); those of a map (in_ld >=
// 16) as taps [cout][9][cin_pad] and, transformed, as winograd [cout/16][36][cin][16].
//
// forward reads in, bias, and panels or winograd; writes out, and arg unless NULL. An image of 2 to 4 channels: z is one
//   chain from bias over (t, ci) ascending.
//   An image of one channel: Winograd's F(2x2, 3x3) (Lavin and Gray 2016), a tile being one window. U = (G g) G^T, in
//   double and rounded at the end, columns (ky) first, where G takes three taps to (g0, (a + g1)/2, (a - g1)/2, g2)
//   with a = g0 + g2. The 4x4 pixels d under the window become V = (B^T d) B, columns first, where B^T takes four
//   values to (d0 - d2, d1 + d2, d2 - d1, d1 - d3). s = A^T (U*V), in column x: s[0] = fma(V[0], U[0], fma(V[2], U[2],
//   m)), s[1] = fnma(V[3], U[3], fnma(V[2], U[2], m)), where m = V[1]*U[1], but fma(V[1], U[1], bias) in column 1 (it
//   reaches all of z). z = s A, where a row becomes ((s0 + s1) + s2, (s1 - s2) - s3).
//   A map: Winograd's F(4x4, 3x3) on tiles of 2x2 windows, the first at window (0, 0). Per tile and ci the patch
//   d[6][6] of `in`, from the pixel of its first window on (zeros beyond the map), becomes V = (B^T d) B, columns
//   first, where B^T takes six values to (fma(4, d0, fma(-5, d2, d4)), a + b, a - b, fma(2, f, e), fma(-2, f, e),
//   fma(4, d1, fma(-5, d3, d5))) with a = fma(-4, d2, d4), b = fma(-4, d1, d3), e = d4 - d2, f = d3 - d1. M[i][j] is
//   one chain over ci ascending, fma(V[i][j], U[i][j], M), from 0, but M[1][1] from bias (it reaches all of z). z =
//   (A^T M) A, columns first, where A^T takes six values to ((m0 + a) + c, fma(2, d, b), fma(4, c, a), fma(8, d, b) +
//   m5) with a = m1 + m2, b = m1 - m2, c = m3 + m4, d = m3 - m4.
// conv_weights makes 16 channels of `winograd`: U = (G g) G^T, columns (ky) first, position 6i + j, where G takes three
//   taps to (g0/4, -(a + g1)/6, -(a - g1)/6, fma(2, g1, b)/24, fma(-2, g1, b)/24, g2), the divisors as rounded factors,
//   with a = g0 + g2, b = fma(4, g2, g0).
// dgrad (cin_pad a multiple of 16) reads dout, arg, taps; overwrites din, a padded map whose border holds unspecified
// values afterwards. Order: blocks of
//   SHK_CONV_BLOCK output channels ascending; in a block windows row-major; per window a patch of 4x4 pixels is
//   accumulated from 0, each element over positions a = 0..3, within a over co ascending (alive co of the block with
//   arg == a only), patch[dy+ky][dx+kx][ci] += dout[co] * weight(co, t, ci) (fma); then the patch is added to din
//   (which starts at 0).
// wgrad reads in, dout, arg; accumulates into dweight (layout: taps if in_ld >= 16, else panels) and dbias: every
// element is one chain starting
//   from its present value over the samples and their windows in row-major order in which co is alive: fma(in[2wy+dy+ky][2wx+dx+kx][ci],
//   dout[co], acc); dbias: acc + dout. The pad elements of dweight (ci >= cin in taps) stay zero because the pad
//   channels of `in` are zero.
struct shk_conv_pool {
    size_t h, w; // input height and width, >= 2
    size_t cin;  // input channels, any >= 1
    size_t
        in_ld; // floats per input pixel: cin (<= 4) for an image (any alignment), round16(cin) for a map; also cin_pad
    size_t cout;     // output channels, padded: multiple of 16
    const float *in; // [h+2][w+2][in_ld], border zero
    const float *panels, *taps, *winograd;
    const float *bias;         // [cout]
    float *out;                // out[wy*out_row + wx*out_px + co]
    ptrdiff_t out_row, out_px; // also the strides of dout
    uint8_t *arg;              // [h/2][w/2][cout], alignment 16
    size_t samples;            // how many, and from one to the next of in and din, out and dout, arg:
    size_t in_sample, out_sample, arg_sample;
    const float *dout;
    float *din; // [h+2][w+2][in_ld]
    float *dweight, *dbias;
    void *scratch; // shk_conv_pool_scratch() bytes, 64-byte aligned, contents unspecified
};
struct shk_conv_weights {
    size_t cin, in_ld; // as above, in_ld >= 16
    const float *taps; // [16][9][in_ld]
    float *winograd;   // [36][cin][16]
};
// A block of tiles transformed, and their products with a panel; the masks of a row of windows and a packed slice
// of taps for dgrad; a chunk of windows for wgrad; an image with its rows in pairs.
#define SHK_WINOGRAD_POINTS 36
#define SHK_CONV_TILES 16
#define SHK_CONV_BLOCK 32
#define SHK_CONV_POOL_MASKS(w) (((w) / 2 * 32 + 63) & ~(size_t)63)
#define SHK_CONV_CHUNK 64
#define SHK_CONV_POOL_CHUNK (21 * 1024)
// Windows of a chunk, at most SHK_CONV_CHUNK: the pixels under them and what is known of them fit L1.
static inline size_t shk_conv_chunk(size_t in_ld) { return in_ld > 16 ? 32 : 64; }
// Rows of pixels under a chunk's windows: two for each row of windows, and up to three more for each sample.
static inline size_t shk_conv_chunk_rows(size_t h, size_t w, size_t in_ld) {
    const size_t wh = h / 2, ww = w / 2, chunk = shk_conv_chunk(in_ld);
    return 2 * (chunk / ww + 2) + 3 * (chunk / (wh * ww) + 2);
}
// Floats of two rows of pixels side by side, in whole vectors.
static inline size_t shk_conv_pairs(size_t w) { return 2 * ((w + 2 + 15) & ~(size_t)15); }
static inline size_t shk_conv_pool_scratch(size_t h, size_t w, size_t in_ld) {
    const size_t image = (h + 1) * shk_conv_pairs(w) * sizeof(float), taps = SHK_CONV_BLOCK * 9 * 16 * sizeof(float);
    const size_t forward = SHK_WINOGRAD_POINTS * ((in_ld + 16) * SHK_CONV_TILES + 32) * sizeof(float);
    const size_t dgrad = SHK_CONV_POOL_MASKS(w) + taps;
    const size_t packed = in_ld > 16 ? shk_conv_chunk_rows(h, w, in_ld) * (w + 2) * in_ld * sizeof(float) : 0;
    const size_t wgrad = SHK_CONV_POOL_CHUNK + packed, backward = dgrad > wgrad ? dgrad : wgrad;
    if (in_ld < 16) return (image + 63) & ~(size_t)63;
    return forward > backward ? forward : backward;
}

// Counter-based random numbers: Philox4x32 (Salmon et al., SC 2011). Block b of a stream is philox(counter = {b,
// stream[0], stream[1], stream[2]}, key).
struct shk_stream {
    uint32_t key[2];    // the seed
    uint32_t stream[3]; // e.g. {sample, epoch, purpose and place}
};

// Dropout's Bernoulli draws, 16 bits an element, Philox4x32 with 7 rounds (passes BigCrush, same paper). Element e of a
// site: with B = e/128, j = e/16%8, i = e%16: block 16B+i, word j/2, half j%2 (0: low 16 bits). The element is dropped
// if its 16 bits < threshold.
struct shk_dropout_spec {
    uint32_t threshold; // round(p * 65536); 0: no dropout
    float scale;        // 65536 / (65536 - threshold)
    struct shk_stream stream;
};

// One head of one sample: scaled dot-product attention (Vaswani et al. 2017), dropout on the weights. d = head_dim,
// multiple of 16. q: [queries][ld_q], k, v: [tokens][ld_kv] (rows of a larger matrix), out: [queries][ld_out].
// Queries go in blocks of SHK_ATTENTION_BLOCK, the last of which may be smaller; weights of a block lie as
// [tokens][round16(its queries)], block after block, what is in the pad columns is not specified.
//   s = k (q*f)^T (chain over d ascending from 0), f = scale * log2(e); e = 2^(s - max of s over tokens), and 2^-64 at
//   least; inverse = 1 / sum of e: 2 partial sums over tokens j % 2, 0 + 1. The softmax is e * inverse. Element index
//   for dropout: `element` + the weight's place. out = (sum over tokens ascending of ed * v, one chain from 0) *
//   (inverse * drop.scale), ed = e dropped ? 0 : e; drop.scale is 1 without dropout. `p` keeps e, with the SIGN BIT SET
//   where dropped, and behind all of them inverse [round16(queries)]; (tokens + 1) * round16(queries) floats. Forward
//   without training: p is still scratch.
// backward reads q, k, v, p, out, dout (stride ld_out); overwrites dq [queries][ld_q], dk, dv [tokens][ld_kv]:
//   g = dout * (inverse * drop.scale); dv = ed^T g (chain over queries ascending); h = v (g*scale)^T (chain over d);
//   delta = (16 partial sums over blocks of 16 columns of dout*out, fma, folded) * (inverse * scale), which is the sum
//   over tokens of ed*h (Dao et al. 2022); ds = ((dropped ? 0 : h) - delta) * e; dq = ds k (chain over tokens); dk =
//   ds^T q (chain over queries).
// A last query that has 16 lanes to itself (queries % 16 = 1) has its tokens side by side instead: its s and e are those
//   of shk_cls_attention's s and p, with inverse = 1; its h is 16 partial sums over blocks of 16 columns, fma, folded.
enum { SHK_ATTENTION_BLOCK = 128 };
struct shk_attention {
    size_t queries, tokens, d;
    size_t ld_q, ld_kv, ld_out;
    float scale;
    const float *q, *k, *v;
    float *out;
    float *p;
    struct shk_dropout_spec drop;
    uint32_t element; // first element index of this head, multiple of 128
    const float *dout;
    float *dq, *dk, *dv;
    void *scratch; // shk_attention_scratch() bytes, 64-byte aligned
};
size_t shk_attention_scratch(size_t queries, size_t tokens, size_t d);

// The attention of CLS alone in a block where nothing else is read, all heads of one sample, without keys and values
// (products reassociated): with x [tokens][cols] the block's input, Wk_h, Wv_h a head's columns of the projections, q_h
// its query, scores are u_h . x_t with u_h = Wk_h q_h (the key's bias is the same for all t, softmax does not see it),
// and the head's output is z_h Wv_h + r_h bv_h with z_h = sum of pd*x, r_h = sum of pd. The products with the weights
// are the caller's, over samples. cols: multiple of 16.
// forward reads x and u; writes p, z and r:
//   s = u x^T (16 partial sums over blocks of 16 columns, fma, folded); p = softmax of s*scale, scale > 0: f = scale *
//   log2(e), m = (row max of s) * f, e = 2^fma(s, f, -m), and 2^-64 at least, sum = 16 partial sums over column blocks,
//   folded; p = e * (1 / sum), columns >= tokens are 0, and the SIGN BIT IS SET where dropped; pd = p dropped ? 0 :
//   p*drop.scale; z = pd x (chain over tokens ascending); r = 16 partial sums over column blocks, folded.
//   dropped are the weights that shk_attention would drop for query 0 of `tokens` queries, head after head:
//     columns = min(round16(tokens), SHK_ATTENTION_BLOCK); head_elements = round up(tokens * round16(tokens), 128)
//     for h < heads, t < tokens: dropped(h, t) = draw of (element + h * head_elements + t * columns)
// backward reads x, u, dz, p, dr; overwrites du and dx, does not read z and r:
//   dpd = dr + (dz x^T: 16 partial sums over blocks of 16 columns, fma, folded); delta = row sum (16 partial sums, fold)
//   of pd*dpd (fma chains); ds = (pd*dpd - p*delta) * scale, as fma(-p, delta, pd*dpd) * scale; du = ds x (chain over
//   tokens);
//   dx_t = one chain from 0 over heads ascending of ds*u, then over heads ascending of pd*dz.
struct shk_cls_attention {
    size_t tokens, cols, heads;
    float scale;
    const float *x;
    size_t x_row;
    const float *u; // [heads][cols]; for backward [2*heads][cols]: u, then dz
    float *p;       // [heads][round16(tokens)]
    float *z;       // [heads][cols]
    float *r;       // [heads], any alignment
    struct shk_dropout_spec drop;
    uint32_t element; // of the first head, multiple of 128
    const float *dr;  // [heads], any alignment
    float *du;        // [heads][cols]
    float *dx;        // [tokens]
    ptrdiff_t dx_row;
    void *scratch; // shk_cls_attention_scratch() bytes, 64-byte aligned
};
size_t shk_cls_attention_scratch(size_t tokens, size_t heads);

// Layer normalisation over the first `cols` of each row (Ba et al. 2016), eps 1e-5, biased variance.
// forward: mean = (16 partial sums, fold) / cols; var = the same of (x-mean)^2 (fma); rstd = 1/sqrt(var+eps); xhat =
// (x-mean)*rstd; y = fma(xhat, gamma, beta).
//   stats[r*stats_row] = mean, the next one rstd (stats may be NULL). Pad columns of y are written as 0. y may be x.
// backward reads x, stats, dy; g = dy*gamma; a = sum(g)/cols, b = sum(g*xhat)/cols (fma); dx = (g - a - xhat*b) * rstd
// [fnma(xhat, b, g - a)];
//   written to dx, or added to it if accumulate; pad columns 0 (or left). dgamma += dy*xhat (fma), dbeta += dy, chains
//   over rows ascending from their present values.
struct shk_layernorm {
    size_t rows, cols; // cols: any
    const float *x;
    ptrdiff_t x_row;
    const float *gamma, *beta; // [round16(cols)], pads 0
    float *y;
    ptrdiff_t y_row;
    float *stats;        // [rows], two each, any alignment
    ptrdiff_t stats_row; // any
    const float *dy;
    ptrdiff_t dy_row;
    float *dx; // may be dy
    ptrdiff_t dx_row;
    bool accumulate;
    float *dgamma, *dbeta;
};

// Softmax cross-entropy on logits. Per row: m = max, e = exp(z - m), s = (16 partial sums, fold); loss = log(s) -
// (z[label] - m); dlogits = (e/s - onehot) * scale, pad columns 0; predicted = the first column that has the maximum.
// dlogits may be NULL, or be logits.
struct shk_cross_entropy {
    size_t rows, classes; // classes: any
    const float *logits;
    ptrdiff_t row; // of logits and dlogits
    const uint32_t *labels;
    float scale;
    float *dlogits;
    float *loss;         // [rows], any alignment
    uint32_t *predicted; // [rows]
};

// GELU (Hendrycks and Gimpel 2016), the erf form: y = x*Phi(x); derivative d = Phi(x) + x*phi(x), unless NULL. n
// multiple of 16. y may be x.
struct shk_gelu {
    size_t n;
    const float *x;
    float *y, *derivative;
};

// y = a*b, n multiple of 16; y may be a or b.
struct shk_multiply {
    size_t n;
    const float *a, *b;
    float *y;
};

// dx = y > 0 ? dy*scale : 0, n multiple of 16; dx may be dy. Of a ReLU alone (scale 1), or of one with dropout behind it,
// whose outputs are 0 where dropped.
struct shk_relu_backward {
    size_t n;
    const float *y, *dy;
    float *dx;
    float scale;
};

// Bit e%16 of mask[e/16] = whether element e of n (multiple of 16) stays. threshold > 0.
struct shk_dropout_mask {
    size_t n;
    uint16_t *mask; // [n/16]
    struct shk_dropout_spec drop;
    uint32_t element; // index of the first one in the stream, multiple of 128
};

// rows x cols elements (cols multiple of 16), own row strides; mask [rows*cols/16], as above, or NULL: all are kept.
// forward: y = (residual ? residual : 0) + (kept ? x*scale : 0), the product rounded first. backward: dx = kept ?
// dy*scale : 0. Without mask, forward only adds and backward only copies.
struct shk_dropout {
    size_t rows, cols;
    const uint16_t *mask;
    float scale;
    const float *x;
    ptrdiff_t x_row;
    const float *residual; // or NULL
    ptrdiff_t residual_row;
    float *y; // may be x or residual
    ptrdiff_t y_row;
    const float *dy;
    ptrdiff_t dy_row;
    float *dx; // may be dy
    ptrdiff_t dx_row;
};

// y += x over rows x cols (cols multiple of 16).
struct shk_add {
    size_t rows, cols;
    const float *x;
    ptrdiff_t x_row;
    float *y;
    ptrdiff_t y_row;
};

// sum[c] = start[c] + x[0][c] + x[1][c] + ..., in this order; then, if relu, vf_max(0, sum). cols: multiple of 16.
struct shk_column_sum {
    size_t rows, cols;
    const float *x;
    ptrdiff_t row;
    const float *start; // [cols]; may be sum; NULL: zeros
    float *sum;
    bool relu;
};

// dst[b*dst_block + i*dst_row + j] = src[b*src_block + j*src_row + i] for i, j < 16, b < blocks: 16x16 blocks
// transposed.
struct shk_transpose {
    size_t blocks;
    const float *src;
    ptrdiff_t src_row, src_block;
    float *dst; // does not overlap src
    ptrdiff_t dst_row, dst_block;
};

// dst[g*dst_group + r*width + j] = src[r*src_row + g*width + j] for r < rows, g < groups, j < width: columns cut into
// groups that lie together (width 16: panels). width: multiple of 16.
struct shk_pack {
    size_t rows, groups, width;
    const float *src;
    ptrdiff_t src_row;
    float *dst; // does not overlap src
    ptrdiff_t dst_group;
};

// *sum = the squares of x[0 .. n-1] (n: multiple of 16) added up: 16 partial sums, of which number l is the chain
// fma(x[16i+l], x[16i+l], sum) over i ascending from 0, folded as vf_sum does. finite is set to false, and never to true,
// where an x is not finite (the sum may overflow without that).
struct shk_square_sum {
    size_t n;
    const float *x;
    float *sum;
    bool *finite;
};

// n values (any) into out from stream blocks 0, 1, ... (Philox4x32-10). Element e: with B = e/64, j = e/16%4, i = e%16:
// block 16B+i, word j. uniform: lo + (hi - lo) * ((word >> 9) + 0.5) * 2^-23, as fma(hi - lo, u, lo), u exact. normal:
// mean + deviation * z, Box-Muller (1958): words j = 0, 1 of a block give z = sqrt(-2 ln u0) * cos and sin (2 pi u1)
// for j = 0 and 1, words 2, 3 likewise. a = lo or mean, b = hi or deviation.
struct shk_random_fill {
    size_t n;
    float *out; // any alignment
    float a, b;
    struct shk_stream stream;
};

// The arithmetic peak of one thread: `iterations` rounds of independent FMA chains on registers. *flops = how many operations that were.
struct shk_fma_peak {
    size_t iterations;
    float *vector; // [16], below 1 in magnitude; overwritten
    double *flops;
};

#define KERNEL(name, type) void (*name)(const type *);
struct shk_kernels {
    const char *isa; // "c", "avx2", "avx512", "neon"
#include "kernels.def"
};
#undef KERNEL

// The kernels of an ISA by name, or of the best that this CPU has for NULL or "auto". NULL: the name does not exist, or
// this CPU or build lacks it (then *exists tells which).
const struct shk_kernels *shk_kernels_find(const char *isa, bool *exists);
// The ISAs that this CPU can run, weakest first; NULL past the last.
const struct shk_kernels *shk_kernels_at(size_t index);

#endif
