// SPDX-License-Identifier: MIT
// Writes files into a temporary folder that stands for the root of a system.
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char tree[] = "/tmp/shikaku-tree-XXXXXX";

bool tree_create(void) { return mkdtemp(tree) != NULL; }

void tree_write(const char *path, const char *text) { tree_write_bytes(path, text, strlen(text)); }

void tree_write_bytes(const char *path, const void *bytes, size_t size) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", tree, path);
    for (char *slash = full + strlen(tree) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

void tree_clear(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", tree, tree);
    assert_int_equal(system(command), 0);
}

void tree_remove(void) {
    tree_clear();
    rmdir(tree);
}
