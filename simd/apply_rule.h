// SPDX-License-Identifier: MIT
// apply_rule updates weights by gradients that may lie in several buffers.
//
//   for i < n:
//       for each group of `group` consecutive sources, the last of which may be smaller:
//           sum = gradients[s*stride + i] of its first source s, + that of the next, ...    one chain of adds
//       g = sum of the first group + sum of the second + ...                                one chain of adds
//       weight i takes g by the rule                                                        (rules.h)
#ifndef SHK_SIMD_APPLY_RULE_H
#define SHK_SIMD_APPLY_RULE_H

#include "rules.h"

struct shk_apply_rule {
    size_t n;               // multiple of 16
    const float *gradients; // the first source; does not overlap what the rule writes
    size_t stride, sources,
        group; // sources, group >= 1; stride: floats from one source to the next, not read of one source
    const struct shk_rule *rule; // w and moments: [n]
};

#endif
