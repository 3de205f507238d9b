// SPDX-License-Identifier: MIT
// The printer: everything that the command says to people goes through it. Text waits in memory for a thread that writes it, so
// that a pipe which nobody reads and a stopped terminal hold up neither a step nor a checkpoint nor a signal.
#ifndef SHK_CLI_PRINTER_H
#define SHK_CLI_PRINTER_H

#include <stdbool.h>
#include <stddef.h>

// Before anything is printed: standard output and error have an order of their own only where they are the same file.
void printer_open(void);
// Control characters but line breaks are shown as escapes (shk_show). Where there is no room the caller waits; but while
// something is at work (below) the text is left out, counted, and that said. False after a write error, now or earlier.
bool printer_put(int file, const char *text, size_t length);
// Waits until all is written, but not long (0.2 s) once a signal was caught. Says on standard error what was left out. False: not
// all of standard output was written.
bool printer_drain(void);

// How work that takes a while is shown: `line` writes how far it is in at most `width` columns, with a bar or as a plain line,
// and is called by the printer's thread.
struct work {
    void (*line)(void *user, bool bar, size_t width, char *text, size_t size); // NULL: it is not shown
    void *user;
    bool bar; // on a terminal a line that is rewritten ten times a second; else a line where nothing was said for 10 s
};
// From now on something is at work, until printer_rest(); *w lives so long.
void printer_work(const struct work *w);
void printer_rest(void);
// Whether standard output is a terminal on which a line can be rewritten.
bool printer_has_terminal(void);

#endif
