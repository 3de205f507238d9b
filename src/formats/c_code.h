// SPDX-License-Identifier: MIT
// The functions of which an exported C file is made, as text: C99 without libm. Values are f32: maps [c][h][w], matrices
// [rows][c]. Every output is one sum in an order that the text fixes.
#ifndef SHK_FORMATS_C_CODE_H
#define SHK_FORMATS_C_CODE_H

// In the order in which they must stand; those of layers have a line in the emitter's table.
enum shk_c_part {
    SHK_C_DOT,
    SHK_C_SCALE,
    SHK_C_EXP,
    SHK_C_ROOT,
    SHK_C_CONVOLVE,
    SHK_C_CONVOLVE_GROUPS,
    SHK_C_MAX_POOL,
    SHK_C_AVG_POOL,
    SHK_C_EMBED,
    SHK_C_TURN,
    SHK_C_PREPEND,
    SHK_C_MULTIPLY,
    SHK_C_RELU,
    SHK_C_GELU,
    SHK_C_SILU,
    SHK_C_HARDSWISH,
    SHK_C_SIGMOID,
    SHK_C_ADD,
    SHK_C_JOIN,
    SHK_C_SCALE_MAP,
    SHK_C_NORMALISE,
    SHK_C_STANDARDISE,
    SHK_C_ATTEND,
    SHK_C_FIRST,
    SHK_C_AVERAGE,
    SHK_C_MEAN,
    SHK_C_SEQ_POOL,
    SHK_C_PARTS
};
extern const char *const shk_c_code[SHK_C_PARTS];

#endif
