// SPDX-License-Identifier: MIT
// Blocks, and how much memory is available: from trees of files, and on this machine.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/available.h"
#include "base/memory.h"
#include "tree.h"
#include <shikaku/shikaku.h>
#include <stdio.h>
#include <string.h>

#define MIB (1024ull * 1024)

static uint64_t available(void) {
    uint64_t bytes = 0;
    return shk_memory_available(tree, &bytes) ? bytes : UINT64_MAX;
}

#define MEMINFO                                                                                                        \
    "MemTotal:       16777216 kB\nMemFree:        1048576 kB\nMemAvailable:   8388608 kB\nSwapTotal:      0 kB\n"
#define MAPPING                                                                                                        \
    "7f0000000000-7f0010000000 rw-p 00000000 00:00 0 \nSize:  262144 kB\nRss:  65536 kB\nAnonHugePages: 0 kB\nSwap:  " \
    "32768 kB\n"

static void test_system(void **state) {
    (void)state;
    assert_true(available() == UINT64_MAX);
    tree_write("/proc/meminfo", MEMINFO "SwapFree:              0 kB\n");
    assert_true(available() == 8192 * MIB);
    tree_write("/proc/meminfo", MEMINFO "SwapFree:         524288 kB\n");
    assert_true(available() == (8192 + 512) * MIB);
    // 256 MiB are mapped; 64 are touched, 32 more were and are in swap, 160 are promised.
    tree_write("/proc/self/smaps", MAPPING "VmFlags: rd wr mr mw me ac sd hg\n");
    assert_true(available() == (8192 + 512 - 160) * MIB);
    tree_write("/proc/self/smaps", MAPPING "VmFlags: rd wr mr mw me nr sd\n" MAPPING "VmFlags: rd wr mr mw me ac sd\n");
    assert_true(available() == (8192 + 512 - 160) * MIB);
    // Small ones, a file's, and one that cannot be written promise nothing.
    tree_write("/proc/self/smaps",
               "7f0000000000-7f0001000000 rw-p 00000000 00:00 0 \nRss:  0 kB\nVmFlags: rd wr\n"
               "7f0100000000-7f0200000000 rw-p 00000000 08:01 77 /a file\nRss:  0 kB\nVmFlags: rd wr\n"
               "7f0300000000-7f0400000000 ---p 00000000 00:00 0 \nRss:  0 kB\nVmFlags: rd wr\n"
               "garbage\n\n-- rw-p\nVmFlags: rd wr\n");
    assert_true(available() == (8192 + 512) * MIB);
    tree_write("/proc/meminfo", "MemAvailable is not said\n");
    assert_true(available() == UINT64_MAX);
    tree_clear();
}

#define MOUNT_V2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1 "33 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static void test_cgroup_v2(void **state) {
    (void)state;
    tree_write("/proc/self/mountinfo", MOUNT_V2);
    tree_write("/proc/self/cgroup", "0::/a/b\n");
    assert_true(available() == UINT64_MAX);
    tree_write("/sys/fs/cgroup/a/b/memory.max", "max\n");
    tree_write("/sys/fs/cgroup/a/b/memory.current", "1048576\n");
    assert_true(available() == UINT64_MAX);
    // Of 1 GiB 512 MiB are used, of which 128 + 64 + 8 can be had back.
    tree_write("/sys/fs/cgroup/a/memory.max", "1073741824\n");
    tree_write("/sys/fs/cgroup/a/memory.current", "536870912\n");
    assert_true(available() == 512 * MIB);
    tree_write("/sys/fs/cgroup/a/memory.stat", "anon 1\nfile 999999999\nshmem 3\ninactive_file 134217728\n"
                                               "active_file 67108864\nslab_reclaimable 8388608\n");
    assert_true(available() == (512 + 200) * MIB);
    // Swap counts as far as the system has it and the group may use it.
    tree_write("/proc/meminfo", MEMINFO "SwapFree:         524288 kB\n");
    assert_true(available() == (512 + 200 + 512) * MIB);
    tree_write("/sys/fs/cgroup/a/memory.swap.current", "0\n");
    tree_write("/sys/fs/cgroup/a/memory.swap.max", "104857600\n");
    assert_true(available() == (512 + 200 + 100) * MIB);
    tree_write("/sys/fs/cgroup/a/memory.swap.max", "max\n");
    assert_true(available() == (512 + 200 + 512) * MIB);
    tree_write("/sys/fs/cgroup/a/memory.swap.max", "0\n");
    // The tightest on the way up; more used than allowed.
    tree_write("/sys/fs/cgroup/a/b/memory.max", "104857600\n");
    tree_write("/sys/fs/cgroup/a/b/memory.swap.max", "0\n");
    tree_write("/sys/fs/cgroup/a/b/memory.swap.current", "0\n");
    assert_true(available() == 99 * MIB);
    tree_write("/sys/fs/cgroup/a/b/memory.max", "4096\n");
    assert_true(available() == 0);
    const char *const garbage[] = {"",      "\n",   "lots\n",      "-1\n",
                                   "1e9\n", "4096", "4096 4096\n", "99999999999999999999999\n"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        tree_write("/sys/fs/cgroup/a/b/memory.max", garbage[i]);
        assert_true(available() == (512 + 200) * MIB);
    }
    tree_clear();
}

static void test_cgroup_v1(void **state) {
    (void)state;
    tree_write("/proc/self/mountinfo", MOUNT_V1);
    tree_write("/proc/self/cgroup", "5:cpu:/elsewhere\n4:memory:/docker/xyz\n0::/\n");
    tree_write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); // none
    tree_write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "5368709120\n");
    assert_true(available() > 1ull << 62);
    tree_write("/sys/fs/cgroup/memory/docker/xyz/memory.limit_in_bytes", "1073741824\n");
    tree_write("/sys/fs/cgroup/memory/docker/xyz/memory.usage_in_bytes", "536870912\n");
    tree_write("/sys/fs/cgroup/memory/docker/xyz/memory.stat", "cache 7\nactive_file 9\ntotal_active_file 67108864\n"
                                                               "total_inactive_file 67108864\n");
    assert_true(available() == (512 + 128) * MIB);
    tree_write("/proc/meminfo", MEMINFO "SwapFree:         524288 kB\n");
    assert_true(available() == (512 + 128 + 512) * MIB);
    tree_write("/sys/fs/cgroup/memory/docker/xyz/memory.memsw.limit_in_bytes", "1073741824\n");
    tree_write("/sys/fs/cgroup/memory/docker/xyz/memory.memsw.usage_in_bytes", "536870912\n");
    assert_true(available() == (512 + 128) * MIB);
    tree_write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "garbage\n");
    tree_write("/sys/fs/cgroup/memory/docker/memory.usage_in_bytes", "1\n");
    assert_true(available() == (512 + 128) * MIB);
    tree_clear();
}

static void test_amounts(void **state) {
    (void)state;
    const struct {
        uint64_t bytes;
        const char *text;
    } amounts[] = {{0, "0 bytes"},         {1023, "1023 bytes"},     {1024, "1.0 KiB"},
                   {MIB - 1, "1.0 MiB"},   {MIB * 3 / 2, "1.5 MiB"}, {MIB * 1024 * 23, "23.0 GiB"},
                   {MIB << 20, "1.0 TiB"}, {UINT64_MAX, "16.0 EiB"}};
    for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++)
        assert_string_equal(shk_amount_of(amounts[i].bytes).text, amounts[i].text);
}

static void test_blocks(void **state) {
    (void)state;
    const size_t sizes[] = {1, 63, 64, 65, 4096, (2 << 20) - 1, 2 << 20, 64 << 20, (64 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct shk_error err = {0};
        char *block =
            i % 2 ? shk_alloc(1, sizes[i], "a test", &err) : shk_alloc_untouched(sizes[i], 1, 2, "a test", &err);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        assert_true(block[0] == 0 && block[sizes[i] - 1] == 0);
        block[0] = block[sizes[i] - 1] = 1;
        shk_free(block);
    }
}

// Sizes that no machine has.
static void test_too_large(void **state) {
    (void)state;
    const size_t sizes[][2] = {
        {SIZE_MAX, 2}, {SIZE_MAX / 2, 2}, {SIZE_MAX, SIZE_MAX}, {SIZE_MAX / 4, 1}, {1ull << 33, 1ull << 31}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct shk_error err = {0};
        assert_null(shk_alloc(sizes[i][0], sizes[i][1], "a test", &err));
        assert_int_equal(err.code, SHK_FAILED);
        assert_non_null(strstr(err.text, "bytes for a test are more than can be addressed"));
        err = (struct shk_error){0};
        assert_null(shk_alloc_untouched(sizes[i][0], sizes[i][1], 1, "a test", &err));
        assert_int_equal(err.code, SHK_FAILED);
    }
    uint64_t bytes;
    if (!shk_memory_available("", &bytes) || bytes > 1ull << 41) skip();
    struct shk_error err = {0};
    // 2.4 TiB
    assert_null(shk_dataset_squares(&(struct shk_squares_options){.n = 10000000, .size = 256, .invert = 0.5}, &err));
    assert_int_equal(err.code, SHK_FAILED);
    double figure;
    char unit;
    assert_int_equal(sscanf(err.text, "out of memory: 2.4 TiB for images, but %lf %ciB are available", &figure, &unit),
                     2);
    assert_true(figure > 0);
}

// What a block was promised is not promised twice.
static void test_promises(void **state) {
    (void)state;
    uint64_t before, after;
    if (!shk_memory_available("", &before) || before < 4096 * MIB) skip();
    void *block = shk_alloc(1, 2048 * MIB, "a test", NULL);
    assert_non_null(block);
    assert_true(shk_memory_available("", &after));
    shk_free(block);
    assert_true(after < before - 1024 * MIB); // others take and give some meanwhile
}

int main(void) {
    if (!tree_create()) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_system),    cmocka_unit_test(test_cgroup_v2),
                                       cmocka_unit_test(test_cgroup_v1), cmocka_unit_test(test_amounts),
                                       cmocka_unit_test(test_blocks),    cmocka_unit_test(test_too_large),
                                       cmocka_unit_test(test_promises)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tree_remove();
    return failed;
}
