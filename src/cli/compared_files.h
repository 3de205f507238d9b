// SPDX-License-Identifier: MIT
// Compares results that are measured already, or of a program that is run for it, without turns.
#ifndef SHK_CLI_COMPARED_FILES_H
#define SHK_CLI_COMPARED_FILES_H

#include "cli/contender.h"
#include "report/comparison.h"
#include "report/measured.h"

struct compared_files {
    struct measured of[2]; // base, new
    const char **name;     // [count]
    struct comparison *comparison;
    size_t count;
};
// Whether a name is that of a file of results: it begins as JSON does.
bool compared_is_file(const char *path);
// Each is a file, or a program, which is run with the arguments. Ends the program in one sentence where they cannot be compared;
// warns that measurements of two times differ by what the machine did meanwhile.
struct compared_files compared_files_open(const char *const name[2], char *const *arguments, double threshold,
                                          bool anyway);
void compared_files_close(struct compared_files *);

#endif
