// SPDX-License-Identifier: MIT
// These tests look kernel tables up by name.
#include "kernels.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_dispatch(void **state) {
    (void)state;
    const char *const names[] = {"c", "avx2", "avx512", "neon"};
    const struct shk_kernels *last = NULL;
    size_t found = 0;
    bool exists = true;
    assert_null(shk_kernels_find("sse9", &exists));
    assert_false(exists);
    assert_null(shk_kernels_find("", &exists));
    assert_false(exists);
    assert_string_equal(shk_kernels_at(0)->isa, "c");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct shk_kernels *kernels = shk_kernels_find(names[i], &exists);
        assert_true(exists);
        if (!kernels) continue;
        found++;
        assert_string_equal(kernels->isa, names[i]);
#define KERNEL(name, type) assert_non_null(kernels->name);
#include "kernels.def"
#undef KERNEL
    }
    size_t count = 0;
    for (; shk_kernels_at(count); count++) {
        last = shk_kernels_at(count);
        assert_ptr_equal(shk_kernels_find(last->isa, &exists), last);
    }
    assert_int_equal(count, found);
    assert_null(shk_kernels_at(count + 1));
    assert_ptr_equal(shk_kernels_find(NULL, &exists), last);
    assert_ptr_equal(shk_kernels_find("auto", &exists), last);
    // no CPU has both of these
    const bool neon = shk_kernels_find("neon", &exists), avx2 = shk_kernels_find("avx2", &exists);
    assert_false(neon && avx2);
    assert_true(exists);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dispatch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
