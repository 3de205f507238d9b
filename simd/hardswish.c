// SPDX-License-Identifier: MIT
// hardswish_forward takes sixteen inputs at a time.
#include "kernel.h"
#include "vec16_activations.h"

void SHK_KERNEL(hardswish_forward)(const struct shk_hardswish *args) {
    for (size_t i = 0; i < args->n; i += 16) {
        const struct shk_activated a = shk_hardswish16(vf_load(args->x + i));
        vf_store(args->y + i, a.y);
        if (args->derivative) vf_store(args->derivative + i, a.derivative);
    }
}
