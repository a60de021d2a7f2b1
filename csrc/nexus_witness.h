/* What other workers' runs of a type say of one worker's: whether it can be.
 *
 * Reads a history and writes nothing to it. Policy (how often a worker may be contradicted) is Python's:
 * nexus_sched/core/predictors/trust.py.
 */
#ifndef NEXUS_WITNESS_H
#define NEXUS_WITNESS_H

#include "nexus_history.h"

/* Whether a run is out of all proportion (`proportion` in octaves) to what other workers take: to the newest runs of
 * most of them, and to their runs that are like this one. The accused worker's own runs do not count. Once other
 * workers run like that too it is a change of regime, and no longer out of proportion. 1 or 0; 0 if nobody can tell. */
int nexus_disproportionate(const nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                           float proportion);

#endif
