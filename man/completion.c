// SPDX-License-Identifier: MIT
// completion <shikaku.bash.in >shikaku: writes the completion for bash. @SECTION@ within a line becomes the options of that section,
// @evaluation@ of those settings that choose the images of a test or the threads; a line @values@ what each option takes.
#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

static void print_options(int section, bool evaluation) {
    const char *blank = "";
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        char option[SHK_SETTING_NAME];
        if (evaluation ? !s->evaluation : s->section != (enum shk_section)section) continue;
        shk_setting_option(s, option);
        printf("%s--%s", blank, option);
        blank = " ";
    }
}

// "    --out | --output) files=yes ;;"
static void print_values(const struct shk_setting *s) {
    char option[SHK_SETTING_NAME];
    if (s->type == SHK_FREE) return; // the template knows
    shk_setting_option(s, option);
    printf("    --%s", option);
    for (int i = 0; i < 3 && s->aliases[i]; i++) printf(" | --%s", s->aliases[i]);
    fputs(s->type == SHK_WORD ? ") words='" : s->type == SHK_PATH ? ") files=yes" : ")", stdout);
    for (const char *const *word = s->words; word && *word; word++) printf("%s%s", word == s->words ? "" : " ", *word);
    puts(s->type == SHK_WORD ? "' ;;" : " ;;");
}

// What the mark at `at`, which begins with '@', stands for; returns its length, or 0 where it is none.
static size_t fill(const char *at) {
    for (int i = 0; i <= SHK_SECTIONS; i++) {
        char mark[40];
        const bool evaluation = i == SHK_SECTIONS;
        const int length = snprintf(mark, sizeof mark, "@%s@", evaluation ? "evaluation" : shk_section_names[i]);
        if (strncmp(at, mark, (size_t)length) != 0) continue;
        print_options(i, evaluation);
        return (size_t)length;
    }
    return 0;
}

int main(void) {
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "@values@\n") == 0) {
            for (const struct shk_setting *s = shk_settings; s->name; s++) print_values(s);
            continue;
        }
        for (const char *at = line; *at;) {
            const size_t filled = *at == '@' ? fill(at) : 0;
            if (!filled) putchar(*at);
            at += filled ? filled : 1;
        }
    }
    return fflush(stdout) != 0;
}
