// SPDX-License-Identifier: MIT
// The store of benchmarks' results: a folder with a file for each machine, and in it a line of JSON for each run.
#ifndef SHK_REPORT_STORE_H
#define SHK_REPORT_STORE_H

#include "report/measured.h"

enum { STORE_NAME = 65, STORE_MACHINE = 200 };

struct store_run {
    char place[200];             // "FILE, line 3", for sentences
    char machine[STORE_MACHINE]; // where it was measured
    char name[STORE_NAME];       // under which it was saved; "": none
    char date[40];
    char commit[64], version[32]; // "": not known
    struct measured results;
};
struct store {
    struct store_run *run; // machine by machine, as they were saved
    size_t count;
    char warning[400]; // a sentence about a line that is left out; "": none
};

// Reads all of it; a folder that is not there holds nothing. The beginning of a line that a crash has left at a file's end is left out
// and said; anything else that is no run is an error.
bool store_read(const char *folder, struct store *out, struct shk_error *);
void store_free(struct store *);
// A line, "{...}\n", as a file of the store has it.
bool store_read_line(const char *text, size_t size, const char *place, struct store_run *out, struct shk_error *);
void store_free_run(struct store_run *);

// What makes a machine another one, of a file's context: its CPUs. Microcode, governor, boost, quota and which CPUs may be used change
// on the same machine, and what that does is what one wants to see.
void store_machine(const json_t *context, char out[STORE_MACHINE]);
// A name is of 1 to 64 letters, digits and . _ - + /, and not "best" or "last".
bool store_is_name(const char *name);

// Makes the folder where it is not there; whether a line can be written into it.
bool store_prepare(const char *folder, struct shk_error *);
// Adds a run's file of results behind what the store has, and to the disk; name: "" for none. As a whole or not at all: where it fails,
// the store is as it was, and where a crash comes between, the line is not whole and is left out. Two at once wait for each other. *dropped: such a line stood at the end, and is gone.
bool store_add(const char *folder, const json_t *file, const char *name, bool *dropped, struct shk_error *);

#endif
