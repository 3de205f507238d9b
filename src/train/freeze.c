// SPDX-License-Identifier: MIT
// Finds the parameters that are frozen, and how far back a step still has to go.
#include "train/freeze.h"

#include "nn/plan/op.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum { PATTERN = sizeof((struct shk_train_options *)0)->freeze };

// As many names as the sentence has room for.
static bool fail_unmatched(const struct shk_model *m, const char *pattern, struct shk_error *err) {
    char names[220] = "";
    size_t used = 0;
    unsigned i = 0;
    for (; i < m->param_count && used + strlen(m->params[i].name) + 2 < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", m->params[i].name);
    char more[40] = "";
    if (i < m->param_count) snprintf(more, sizeof more, " and %u more", m->param_count - i);
    return shk_fail(err, SHK_BAD_INPUT, "freeze: no tensor fits '%.80s'; the model has %s%s", pattern, names, more);
}

static bool freeze(struct shk_engine *e, const char *pattern, struct shk_error *err) {
    const struct shk_model *m = e->model;
    bool found = false;
    for (unsigned i = 0; i < m->param_count; i++) {
        if (fnmatch(pattern, m->params[i].name, 0) != 0) continue;
        e->frozen[i] = found = true;
    }
    return found || fail_unmatched(m, pattern, err);
}

// The first op with a parameter that is updated; op_count: there is none.
static unsigned first_op(const struct shk_engine *e) {
    const struct shk_plan *p = e->plan;
    unsigned first = p->op_count;
    for (unsigned i = 0; i < p->update_count; i++) {
        const struct shk_update *u = &p->updates[i];
        const bool lives = !shk_is_frozen(e, u->param) || (u->bias && !shk_is_frozen(e, u->op->bias));
        if (lives && u->op->index < first) first = u->op->index;
    }
    return first;
}

bool shk_engine_freeze(struct shk_engine *e, const char *patterns, struct shk_error *err) {
    char copy[PATTERN], *rest = copy, *pattern;
    snprintf(copy, sizeof copy, "%s", patterns);
    while ((pattern = strsep(&rest, ",")))
        if (!freeze(e, pattern, err)) return false;
    const unsigned first = first_op(e);
    if (first == e->plan->op_count)
        return shk_fail(err, SHK_BAD_INPUT,
                        "freeze: '%.200s' leaves nothing to train: at least one tensor must not fit", patterns);
    shk_plan_end_at(e->plan, first);
    return true;
}
