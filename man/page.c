// SPDX-License-Identifier: MIT
// page <shikaku.1.in >shikaku.1: writes the man page. A line @SECTION@ becomes that section's settings, @aliases@ the names that
// other trainers have for some of them, @evaluation@ a list of those that choose the images of a test; @version@ is the version.
#include "settings/settings.h"

#include <stdio.h>
#include <string.h>

static void print(const char *text) {
    for (; *text; text++) {
        if (*text == '-') putchar('\\');
        putchar(*text);
    }
}

static bool is_number(const struct shk_setting *s) { return s->type == SHK_WHOLE || s->type == SHK_REAL; }

// "Samples per step (64; a whole number from 1 to 65536)."
static void print_setting(const struct shk_setting *s) {
    char option[SHK_SETTING_NAME], standard[SHK_SETTING_TEXT], range[SHK_SETTING_TEXT];
    shk_setting_option(s, option);
    shk_setting_default(s, standard);
    shk_setting_range(s, range);
    fputs(".TP\n.BI \\-\\-", stdout);
    print(option);
    printf(" \" %s\"\n", s->placeholder ? s->placeholder : "");
    print(s->sentence);
    if (*standard && s->placeholder) {
        fputs(" (", stdout);
        print(standard);
        if (is_number(s)) printf("; %s", range);
        putchar(')');
    }
    puts(s->rises ? ".\nMay be raised on resuming." : ".");
}

static void print_aliases(void) {
    for (const struct shk_setting *s = shk_settings; s->name; s++)
        for (int i = 0; i < 3 && s->aliases[i]; i++) {
            char option[SHK_SETTING_NAME];
            shk_setting_option(s, option);
            fputs(".br\n.B \\-\\-", stdout);
            print(s->aliases[i]);
            fputs("\nis \\-\\-", stdout);
            print(option);
            puts(".");
        }
}

static void print_evaluation(void) {
    const char *comma = ".B \"";
    for (const struct shk_setting *s = shk_settings; s->name; s++) {
        char option[SHK_SETTING_NAME];
        if (!s->evaluation || !shk_setting_kept(s)) continue;
        shk_setting_option(s, option);
        printf("%s\\-\\-", comma);
        print(option);
        comma = ", ";
    }
    puts("\"");
}

// Whether the line stands for settings.
static bool fill(const char *line, unsigned *filled) {
    char mark[40];
    for (int i = 0; i < SHK_SECTIONS; i++) {
        snprintf(mark, sizeof mark, "@%s@\n", shk_section_names[i]);
        if (strcmp(line, mark) != 0) continue;
        *filled |= 1u << i;
        for (const struct shk_setting *s = shk_settings; s->name; s++)
            if (s->section == (enum shk_section)i) print_setting(s);
        return true;
    }
    const bool aliases = strcmp(line, "@aliases@\n") == 0, evaluation = strcmp(line, "@evaluation@\n") == 0;
    if (aliases) print_aliases();
    if (evaluation) print_evaluation();
    *filled |= (aliases ? 1u : 0) << SHK_SECTIONS;
    return aliases || evaluation;
}

static void print_line(const char *line) {
    static const char mark[] = "@version@";
    const char *at = strstr(line, mark);
    if (at)
        printf("%.*s" SHK_VERSION "%s", (int)(at - line), line, at + sizeof mark - 1);
    else
        fputs(line, stdout);
}

int main(void) {
    char line[4096];
    unsigned filled = 0;
    while (fgets(line, sizeof line, stdin))
        if (!fill(line, &filled)) print_line(line);
    if (filled == (2u << SHK_SECTIONS) - 1) return fflush(stdout) != 0;
    fputs("page: the template lacks a section\n", stderr);
    return 1;
}
