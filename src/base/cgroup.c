// SPDX-License-Identifier: MIT
// The files of the control groups are found and read here, of versions 1 and 2.
#include "base/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Joins up to three pieces; false where they do not fit.
static bool join(char out[PATH_MAX], const char *a, const char *b, const char *c) {
    int length = snprintf(out, PATH_MAX, "%s%s%s", a, b, c);
    return length >= 0 && length < PATH_MAX;
}

bool shk_read_small(const char *dir, const char *name, char out[SHK_SMALL_FILE]) {
    char path[PATH_MAX];
    FILE *file = join(path, dir, name, "") ? fopen(path, "re") : NULL;
    if (!file) return false;
    size_t length = fread(out, 1, SHK_SMALL_FILE - 1, file);
    out[length] = 0;
    bool ok = !ferror(file);
    fclose(file);
    return ok;
}

bool shk_read_number(const char **text, const char *behind, uint64_t *out) {
    if (**text < '0' || **text > '9') return false;
    char *end;
    errno = 0;
    *out = strtoull(*text, &end, 10);
    size_t length = strlen(behind);
    if (errno || strncmp(end, behind, length) != 0) return false;
    *text = end + length;
    return true;
}

uint64_t shk_stat_value(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ' ') return strtoull(line + length, NULL, 10);
    return 0;
}

// Whether `list` (names with commas between) holds `name`.
static bool holds(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
    return false;
}

// This process's group in the hierarchy of version 2 (controller NULL), or of a controller: "0::/path", "3:cpu,cpuacct:/path".
static bool group_path(const char *root, const char *controller, char out[PATH_MAX]) {
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    FILE *file = join(path, root, "/proc/self/cgroup", "") ? fopen(path, "re") : NULL;
    bool found = false;
    while (file && !found && getline(&line, &size, file) > 0) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        found = controller ? holds(controllers + 1, controller) : strcmp(controllers, ":") == 0;
        found = found && join(out, group, "", "");
    }
    free(line);
    if (file) fclose(file);
    return found;
}

// Space, tab, newline and backslash stand in mountinfo as \040 and the like.
static void unescape(char *text) {
    char *out = text;
    for (char *in = text; *in; out++) {
        bool octal = in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' && in[3] >= '0' &&
                     in[3] <= '7';
        *out = octal ? (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0')) : *in;
        in += octal ? 4 : 1;
    }
    *out = 0;
}

struct mount {
    char *root, *point, *type, *options; // root: the group that is mounted; options: of the file system
};

// "36 35 98:0 /group /mount/point rw,noatime master:1 - cgroup2 source options"
static bool parse_mount(char *line, struct mount *m) {
    line[strcspn(line, "\n")] = 0;
    char *rest = strstr(line, " - "), *save = NULL, *source;
    if (!rest) return false;
    *rest = 0;
    char *field[5] = {0};
    for (int i = 0; i < 5; i++) field[i] = strtok_r(i ? NULL : line, " ", &save);
    m->root = field[3];
    m->point = field[4];
    m->type = strtok_r(rest + 3, " ", &save);
    source = m->type ? strtok_r(NULL, " ", &save) : NULL;
    m->options = source ? strtok_r(NULL, " ", &save) : NULL;
    if (!m->point || !m->options) return false;
    unescape(m->root);
    unescape(m->point);
    return true;
}

// From this process's group up to the one that is mounted.
static void walk(const char *root, const char *controller, const struct mount *m, bool v2, shk_cgroup_visit *visit,
                 void *user) {
    char group[PATH_MAX], dir[PATH_MAX];
    if (!group_path(root, v2 ? NULL : controller, group)) return;
    size_t skip = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
    // A group outside of what is mounted (another namespace's) cannot be seen: then what is mounted counts.
    bool inside =
        strncmp(group, m->root, skip) == 0 && (group[skip] == '/' || !group[skip]) && strncmp(group, "/..", 3) != 0;
    char *below = inside ? group + skip : group + strlen(group);
    for (;;) {
        if (join(dir, root, m->point, below)) visit(dir, v2, user);
        char *slash = strrchr(below, '/');
        if (!slash) return;
        *slash = 0;
    }
}

void shk_cgroup_walk(const char *root, const char *controller, shk_cgroup_visit *visit, void *user) {
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    FILE *file = join(path, root, "/proc/self/mountinfo", "") ? fopen(path, "re") : NULL;
    bool seen[2] = {false, false}; // the same hierarchy may be mounted twice
    while (file && getline(&line, &size, file) > 0) {
        struct mount m;
        if (!parse_mount(line, &m)) continue;
        bool v2 = strcmp(m.type, "cgroup2") == 0, v1 = strcmp(m.type, "cgroup") == 0 && holds(m.options, controller);
        if ((!v1 && !v2) || seen[v2]) continue;
        seen[v2] = true;
        walk(root, controller, &m, v2, visit, user);
    }
    free(line);
    if (file) fclose(file);
}
