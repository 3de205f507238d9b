// SPDX-License-Identifier: MIT
// This is the attention of one panel of queries, side by side in the lanes of a vector. attention.c includes it for
// each type of vector: VEC is the type, V(op) its operation, ROWS the height of the highest tile.

// acc[r] = row r of x [rows][d] times a panel [d][16]: one chain over d.
GEMM_INLINE void V(product)(const int rows, size_t d, const float *x, ptrdiff_t ld, const float *panel, VEC acc[ROWS]) {
    enum { STEPS = GEMM_ROWS > 6 ? 4 : 1 }; // with few registers gcc would spill
    struct gemm_rows g = gemm_rows_of(rows, x, ld);
    SHK_UNROLL
    for (int r = 0; r < rows; r++) acc[r] = V(zero)();
    for (const float *const end = panel + 16 * d; panel != end;) {
        SHK_UNROLL
        for (int step = 0; step < STEPS; step++, panel += 16) {
            const VEC v = V(load)(panel);
            SHK_UNROLL
            for (int r = 0; r < rows; r++) acc[r] = V(fma)(V(set1)(g.group[r / 3][g.offset[r % 3] + step]), v, acc[r]);
        }
        g.offset[0] += STEPS;
        g.offset[1] += STEPS;
        g.offset[2] += STEPS;
    }
}

// Scores of `rows` tokens, and their maxima with most[16].
GEMM_INLINE void V(score_tile)(const int rows, const struct shk_attention *a, const struct block *b, const float *k,
                               const float *panel, size_t at, float *most) {
    VEC acc[ROWS], m = V(load)(most);
    V(product)(rows, a->d, k, (ptrdiff_t)a->ld_kv, panel, acc);
    float *s = b->weights + at;
    SHK_UNROLL
    for (int r = 0; r < rows; r++, s += b->columns) {
        m = V(max)(acc[r], m);
        V(store)(s, acc[r]);
    }
    V(store)(most, m);
}

// What dropout left of the weights of `rows` tokens times their gradients, and its sums with sum[16].
GEMM_INLINE void V(gradient_tile)(const int rows, const struct shk_attention *a, const struct block *b, const float *v,
                                  const float *panel, size_t at, float *sum) {
    VEC acc[ROWS], all = V(load)(sum);
    V(product)(rows, a->d, v, (ptrdiff_t)a->ld_kv, panel, acc);
    const float *e = b->weights + at;
    float *ds = b->ds + at;
    if (b->dropped) {
        float *dropped = b->dropped + at;
        SHK_UNROLL
        for (int r = 0; r < rows; r++, e += b->columns, ds += b->columns, dropped += b->columns) {
            const VEC left = V(max)(V(zero)(), V(load)(e)), x = V(mul)(acc[r], left);
            all = V(add)(all, x);
            V(store)(dropped, left);
            V(store)(ds, x);
        }
    } else {
        SHK_UNROLL
        for (int r = 0; r < rows; r++, e += b->columns, ds += b->columns) {
            const VEC x = V(mul)(acc[r], V(load)(e));
            all = V(add)(all, x);
            V(store)(ds, x);
        }
    }
    V(store)(sum, all);
}

#define TILE(rows)                                                                                                     \
    static __attribute__((noinline)) void V(score_tile_##rows)(const struct shk_attention *a, const struct block *b,   \
                                                               const float *x, const float *panel, size_t at,          \
                                                               float *column) {                                        \
        V(score_tile)(rows, a, b, x, panel, at, column);                                                               \
    }                                                                                                                  \
    static __attribute__((noinline)) void V(gradient_tile_##rows)(const struct shk_attention *a,                       \
                                                                  const struct block *b, const float *x,               \
                                                                  const float *panel, size_t at, float *column) {      \
        V(gradient_tile)(rows, a, b, x, panel, at, column);                                                            \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#if ROWS > 6
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
#define HIGH_TILES(name) , V(name##_7), V(name##_8), V(name##_9), V(name##_10), V(name##_11), V(name##_12)
#else
#define HIGH_TILES(name)
#endif
#if ROWS > 12
TILE(13)
#define HIGHEST_TILE(name) , V(name##_13)
#else
#define HIGHEST_TILE(name)
#endif
#define TILES(name)                                                                                                    \
    {                                                                                                                  \
        NULL, V(name##_1), V(name##_2), V(name##_3), V(name##_4), V(name##_5),                                         \
            V(name##_6) HIGH_TILES(name) HIGHEST_TILE(name)                                                            \
    }
static tile_function *const V(score_tiles)[] = TILES(score_tile);
static tile_function *const V(gradient_tiles)[] = TILES(gradient_tile);
#undef TILES
#undef HIGH_TILES
#undef HIGHEST_TILE
#undef TILE

// Scores s of n tokens, one row after the other, to weights; sum[i] += weight of row i.
GEMM_INLINE void V(weights)(const int n, VEC most, float *s, size_t ld, VEC *sum) {
    VEC x[CHAINS];
    SHK_UNROLL
    for (int i = 0; i < n; i++) x[i] = V(sub)(V(load)(s + (size_t)i * ld), most);
    V(exp2_weights)(n, x);
    SHK_UNROLL
    for (int i = 0; i < n; i++) {
        V(store)(s + (size_t)i * ld, x[i]);
        sum[i] = V(add)(sum[i], x[i]);
    }
}

// Scores to weights that are not yet divided by their sums, and the inverses of these.
static void V(softmax)(size_t tokens, size_t ld, const float *most, float *s, float *inverse) {
    enum { SIDE = 2 }; // side by side in registers
    const VEC m = V(load)(most);
    VEC sum[CHAINS];
    SHK_UNROLL
    for (int t = 0; t < CHAINS; t++) sum[t] = V(zero)();
    size_t j = 0;
    for (; j + CHAINS <= tokens; j += CHAINS, s += CHAINS * ld) {
        SHK_UNROLL
        for (int t = 0; t < CHAINS; t += SIDE) V(weights)(SIDE, m, s + (size_t)t * ld, ld, sum + t);
    }
    SHK_UNROLL
    for (int t = 0; t < CHAINS - 1; t++) {
        if (j + (size_t)t < tokens) V(weights)(1, m, s + (size_t)t * ld, ld, sum + t);
    }
    V(store)(inverse, V(div)(V(set1)(1.0f), V(add)(sum[0], sum[1])));
}

// Gradients of the scores from what the tiles made: these less their sums over tokens times each weight. Of a token that
// has all the weight nothing remains.
static void V(softmax_backward)(size_t tokens, size_t ld, bool drop, const float *sum, const float *inverse,
                                const float *e, float *ds) {
    const VEC delta = V(mul)(V(load)(sum), V(load)(inverse));
    if (drop) {
        for (size_t j = 0; j < tokens; j++, e += ld, ds += ld)
            V(store)(ds, V(fnma)(V(abs)(V(load)(e)), delta, V(load)(ds)));
        return;
    }
    for (size_t j = 0; j < tokens; j++, e += ld, ds += ld) V(store)(ds, V(fnma)(V(load)(e), delta, V(load)(ds)));
}
