// SPDX-License-Identifier: MIT
// Says how the library was built: make tells it (SHK_COMMIT, SHK_FLAGS).
#include <shikaku/shikaku.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct shk_build_facts shk_build_facts(void) {
    return (struct shk_build_facts){.commit = SHK_COMMIT, .compiler = COMPILER, .flags = SHK_FLAGS};
}
