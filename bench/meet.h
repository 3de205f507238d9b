// SPDX-License-Identifier: MIT
// Declares how long workers take to meet, and to deal tasks out among themselves.
#ifndef SHK_BENCH_MEET_H
#define SHK_BENCH_MEET_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Seconds of a round in which `workers` workers take `tasks` empty tasks, if any, and meet: the median of
// `pieces` pieces of 100 rounds. Negative, with a sentence on stderr, where there is no such team.
double meet_seconds(unsigned workers, size_t tasks, size_t pieces);
// Likewise the seconds in which each worker reads `bytes` bytes, of which each has just written its part.
double read_seconds(unsigned workers, size_t bytes, size_t pieces);

#ifdef __cplusplus
}
#endif

#endif
