// SPDX-License-Identifier: MIT
// Draws courses of benchmarks as a page of HTML that needs nothing else.
#ifndef SHK_REPORT_PAGE_H
#define SHK_REPORT_PAGE_H

#include "report/courses.h"

// The page's text, to be freed; NULL: out of memory.
char *page_of_courses(const struct courses *);

#endif
