/* What other workers' runs of a type say of one worker's: whether it can be; and how lies are struck out.
 *
 * Policy (how often a worker may be contradicted, which doubted runs wait, for how long) is Python's:
 * nexus_sched/core/predictors/trust.py and learned.py. Source: docs/decisions/0025.
 */
#ifndef NEXUS_WITNESS_H
#define NEXUS_WITNESS_H

#include "nexus_history.h"

enum { NEXUS_USUAL = 0, NEXUS_DOUBTFUL = 1, NEXUS_NEWS = 2, NEXUS_UNTOLD = 3 };

/* One run outside of a history: of the ring, or one that waits until others confirm it. */
typedef struct {
    int16_t size, time; /* as in the history */
    uint16_t worker_class, worker;
} nexus_run;

/* What the other workers say of a run; the accused worker's own runs do not count, and every other worker has one
 * vote, however many runs it has.
 *
 * UNTOLD: nobody can tell; fewer than 16 runs of the type, fewer than two other workers that know such sizes, or fewer
 * than twelve runs of others but for the one that has run it most.
 * USUAL: within `proportion` (in octaves) of what others take for this size, or of a machine up to 24 times slower or
 * faster that runs as ever. DOUBTFUL: out of proportion, and most of the last five others neither ran like that lately
 * nor ever did. NEWS: out of proportion, but not against most of the others.
 * `held` are the runs that wait, the newest last: who has such a run supports another one like it.
 * Reads the history, writes the workspace. Cost: one look over the ring; where that leaves doubt, up to 16 more. */
int nexus_testimony(const nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                    float proportion, const nexus_run *held, ptrdiff_t held_count);

/* Strikes out the runs of a worker that are DOUBTFUL at this proportion, and hands them back in `struck` (room for
 * NEXUS_RUNS). Gives their number, or -1 if nobody can tell yet. What is left is as though they had never been:
 * a history that has lost no other run is learned anew from the runs it keeps, each predicted and then learned at once;
 * of an older one only the moments, unless a quarter was lies. */
int32_t nexus_strike_out(nexus_history *history, nexus_workspace *space, uint16_t worker, float proportion,
                         nexus_run *struck);

/* Strikes out the runs that are equal to one of these, and learns the moments anew. Gives their number. */
int32_t nexus_forget(nexus_history *history, const nexus_run *lies, ptrdiff_t lie_count);

/* Whether a run of this worker is in the history. */
int nexus_remembers(const nexus_history *history, uint16_t worker);

#endif
