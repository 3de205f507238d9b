// SPDX-License-Identifier: MIT
// These are what the user asked of the machine: options, and else environment variables.
#ifndef SHK_MACHINE_SETTINGS_H
#define SHK_MACHINE_SETTINGS_H

#include "machine/policy.h"

// What was asked for: the options, and on this machine the environment. A variable with a value that makes no sense is an error, also
// where an option hides it.
bool shk_settings_read(const struct shk_machine *, const struct shk_choice_options *, struct shk_policy_settings *,
                       struct shk_error *);

// Whether SHIKAKU_THREADS and OpenMP's variables make sense. Comes before anything is asked of an OpenMP runtime: LLVM's ends the
// process over some that do not.
bool shk_environment_check(struct shk_error *);

#endif
