// SPDX-License-Identifier: MIT
// A thread for each file that is written takes text out of a ring; between lines it shows how far the work is.
#include "cli/printer.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/signals.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING = 1 << 18, PIECE = 4096, MOST_WRITTEN = 1 << 16, STACK = 1 << 18, LONGEST_LINE = 1024, FILES = 3 };
static const double bar_seconds = 0.1, line_seconds = 10, patience = 0.2;

// A piece of text in the ring: this, and so many bytes.
struct head {
    uint32_t length;
    int file;
};

struct channel {
    pthread_mutex_t lock;
    pthread_cond_t changed; // what is in the ring, or at work
    char ring[RING];
    size_t begin, used;
    size_t lines, left_out;  // line breaks in the ring; lines for which there was no room
    const struct work *work; // NULL: nothing is at work, or it is shown elsewhere
    bool started;            // the thread
    bool writes;             // it is writing, without the lock
    bool midline;            // the last line that it wrote is not ended
    size_t bar;              // characters of the line that it will rewrite; 0: none is there
    double shown_at;         // when it last wrote
};

static struct channel channels[2] = {{.lock = PTHREAD_MUTEX_INITIALIZER}, {.lock = PTHREAD_MUTEX_INITIALIZER}};
static struct channel *channel_of[FILES] = {NULL, &channels[0], &channels[1]};
static _Atomic bool failed[FILES], at_work;

// ---- The thread ----

static void write_all(int file, const char *text, size_t length) {
    while (length && !failed[file]) {
        const ssize_t written = write(file, text, length);
        if (written < 0 && errno != EINTR) failed[file] = true;
        if (written <= 0) continue;
        text += written;
        length -= (size_t)written;
    }
}

static void copy_in(struct channel *c, const void *from, size_t length) {
    const size_t end = (c->begin + c->used) % RING, first = length < RING - end ? length : RING - end;
    memcpy(c->ring + end, from, first);
    memcpy(c->ring, (const char *)from + first, length - first);
    c->used += length;
}

static void copy_out(struct channel *c, void *to, size_t length) {
    const size_t first = length < RING - c->begin ? length : RING - c->begin;
    memcpy(to, c->ring + c->begin, first);
    memcpy((char *)to + first, c->ring, length - first);
    c->begin = (c->begin + length) % RING;
    c->used -= length;
}

static size_t count_lines(const char *text, size_t length) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += text[i] == '\n';
    return n;
}

static size_t terminal_width(void) {
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

// When the work is to be shown next.
static double due(const struct channel *c) {
    if (!c->work || !c->work->line || c->midline) return INFINITY;
    return c->shown_at + (c->work->bar ? bar_seconds : line_seconds);
}

// What follows is done with the lock held, which is given back while the text is written.
static void write_out(struct channel *c, int file, const char *text, size_t length) {
    c->writes = true;
    pthread_mutex_unlock(&c->lock);
    write_all(file, text, length);
    pthread_mutex_lock(&c->lock);
    c->writes = false;
    c->shown_at = shk_seconds();
    pthread_cond_broadcast(&c->changed);
}

static void erase_bar(struct channel *c) {
    static const char erase[] = "\r\033[J";
    c->bar = 0;
    write_out(c, STDOUT_FILENO, erase, sizeof erase - 1);
}

static struct head next_head(const struct channel *c) {
    const size_t first = sizeof(struct head) < RING - c->begin ? sizeof(struct head) : RING - c->begin;
    struct head head;
    memcpy(&head, c->ring + c->begin, first);
    memcpy((char *)&head + first, c->ring, sizeof head - first);
    return head;
}

// As many pieces as are there for one file, in one call.
static void write_pieces(struct channel *c) {
    struct head head = next_head(c);
    const int file = head.file;
    char text[MOST_WRITTEN];
    size_t length = 0;
    while (head.file == file && length + head.length <= sizeof text) {
        copy_out(c, &head, sizeof head);
        copy_out(c, text + length, head.length);
        length += head.length;
        if (!c->used) break;
        head = next_head(c);
    }
    c->lines -= count_lines(text, length);
    c->midline = text[length - 1] != '\n';
    write_out(c, file, text, length);
}

// A terminal that has become narrower has broken the line into several: these are rewritten, too.
static void show_work(struct channel *c) {
    char line[LONGEST_LINE], text[LONGEST_LINE + 64];
    const size_t width = terminal_width(), rows = c->bar ? (c->bar - 1) / width : 0;
    const bool bar = c->work->bar;
    int length = 0;
    c->work->line(c->work->user, bar, bar ? width - 1 : LONGEST_LINE - 1, line, sizeof line);
    if (rows) length = snprintf(text, sizeof text, "\033[%zuA", rows);
    length += snprintf(text + length, sizeof text - (size_t)length, bar ? "\r%s\033[J" : "%s\n", line);
    c->bar = bar ? strlen(line) : 0;
    write_out(c, STDOUT_FILENO, text, (size_t)length);
}

static void wait_until(struct channel *c, double time) {
    if (isinf(time)) {
        pthread_cond_wait(&c->changed, &c->lock);
        return;
    }
    const struct timespec until = {(time_t)time, (long)((time - floor(time)) * 1e9)};
    pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

static bool bar_is_left(const struct channel *c) { return c->bar && !c->work; }

static void *print(void *channel) {
    struct channel *c = channel;
    pthread_setname_np(pthread_self(), "printer"); // whoever looks at the threads can tell it from those that compute
    pthread_mutex_lock(&c->lock);
    for (;;) {
        if (c->bar && (c->used || bar_is_left(c)))
            erase_bar(c);
        else if (c->used)
            write_pieces(c);
        else if (shk_seconds() >= due(c))
            show_work(c);
        else
            wait_until(c, due(c));
    }
    return NULL;
}

// The signals that are caught are for the other threads; one that a call of its own brings about comes to the thread itself.
static void start(struct channel *c) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t caught, before;
    sigemptyset(&caught);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&caught, signals[i]);
    pthread_sigmask(SIG_BLOCK, &caught, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const int error = pthread_create(&thread, &attributes, print, c);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = true;
    if (!error) return;
    dprintf(STDERR_FILENO, "shikaku: the thread that prints cannot be started: %s\n", strerror(error));
    _exit(1);
}

// ---- Text ----

void printer_open(void) {
    struct stat out, err;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (size_t i = 0; i < 2; i++) pthread_cond_init(&channels[i].changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
        out.st_ino == err.st_ino)
        channel_of[STDERR_FILENO] = channel_of[STDOUT_FILENO];
}

static bool has_room(const struct channel *c, size_t length) {
    return RING - c->used >= 2 * sizeof(struct head) + PIECE + length; // a note of what was left out, too
}

static void put_piece(struct channel *c, int file, const char *text, size_t length) {
    const struct head head = {(uint32_t)length, file};
    copy_in(c, &head, sizeof head);
    copy_in(c, text, length);
    c->lines += count_lines(text, length);
    pthread_cond_broadcast(&c->changed);
}

static void note_left_out(struct channel *c, int file) {
    char note[100];
    const int length = snprintf(note, sizeof note, "(%zu line%s left out here: nobody read)\n", c->left_out,
                                c->left_out == 1 ? "" : "s");
    c->left_out = 0;
    put_piece(c, file, note, (size_t)length);
}

// A thread waits here for its reader, but a signal ends that.
static void wait_for_room(struct channel *c, size_t length) {
    while (!has_room(c, length) && !signals_caught()) wait_until(c, shk_seconds() + 0.05);
}

bool printer_put(int file, const char *text, size_t length) {
    struct channel *c = channel_of[file];
    char piece[PIECE];
    pthread_mutex_lock(&c->lock);
    if (!c->started) start(c);
    while (length && !failed[file]) {
        const size_t taken = shk_show(text, length, "\n", piece, sizeof piece), shown = strlen(piece);
        if (!at_work) wait_for_room(c, shown);
        if (has_room(c, shown)) {
            if (c->left_out) note_left_out(c, file);
            put_piece(c, file, piece, shown);
        } else {
            c->left_out += count_lines(piece, shown);
        }
        text += taken;
        length -= taken;
    }
    pthread_mutex_unlock(&c->lock);
    return !failed[file];
}

// Returns how many lines will not be read any more.
static size_t drain(struct channel *c) {
    double until = INFINITY;
    pthread_mutex_lock(&c->lock);
    while ((c->used || c->writes || bar_is_left(c)) && shk_seconds() < until) {
        if (signals_caught() && isinf(until)) until = shk_seconds() + patience;
        wait_until(c, fmin(until, shk_seconds() + 0.05));
    }
    const size_t lost = c->used || c->writes ? c->left_out + c->lines + c->writes : c->left_out;
    pthread_mutex_unlock(&c->lock);
    return lost;
}

bool printer_drain(void) {
    printer_rest();
    const size_t lost = drain(channel_of[STDOUT_FILENO]);
    char note[200];
    if (lost) {
        const int length =
            snprintf(note, sizeof note, "shikaku: warning: %zu line%s of output left out: nobody read %s\n", lost,
                     lost == 1 ? "" : "s", lost == 1 ? "it" : "them");
        printer_put(STDERR_FILENO, note, (size_t)length);
    }
    if (channel_of[STDERR_FILENO] != channel_of[STDOUT_FILENO]) drain(channel_of[STDERR_FILENO]);
    return !lost && !failed[STDOUT_FILENO];
}

// ---- Work ----

static void set_work(const struct work *w) {
    struct channel *c = channel_of[STDOUT_FILENO];
    pthread_mutex_lock(&c->lock);
    if (w && !c->started) start(c);
    at_work = w != NULL;
    c->work = w;
    if (w) c->shown_at = shk_seconds();
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void printer_work(const struct work *w) { set_work(w); }
void printer_rest(void) { set_work(NULL); }

bool printer_has_terminal(void) {
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}
