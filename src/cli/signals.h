// SPDX-License-Identifier: MIT
// Signals to a training. The first SIGINT, SIGTERM or SIGHUP is remembered, a second one, but not within a tenth of a second,
// ends the program at once with 128 + its number; SIGUSR1 and SIGUSR2 ask for a checkpoint. One that was ignored when the program
// began (nohup) stays so.
#ifndef SHK_CLI_SIGNALS_H
#define SHK_CLI_SIGNALS_H

void signals_catch(void);
void signals_catch_requests(void);
int signals_caught(void); // 0: none
// SIGUSR1 or SIGUSR2, since the last one was answered; 0: none.
int signals_asked(void);
void signals_answered(void);
const char *signals_name(int signal);

#endif
