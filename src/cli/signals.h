// SPDX-License-Identifier: MIT
// SIGINT, SIGTERM and SIGHUP of a training that can be resumed: the first one is remembered, a second one, but not
// within a tenth of a second, ends the program at once with 128 + its number. One that was ignored when the program began (nohup) stays so.
#ifndef SHK_CLI_SIGNALS_H
#define SHK_CLI_SIGNALS_H

void signals_catch(void);
int signals_caught(void); // 0: none
const char *signals_name(int signal);

#endif
