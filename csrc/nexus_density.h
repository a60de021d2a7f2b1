/* How the runs of a type that are like a task are spread over time: weights, a histogram, its densest band, quantiles.
 *
 * The compute half of nexus_history.h; no state, no policy. Weights are float32 products in a fixed order and are
 * summed in lanes and stripes of their own, then turned into integers: the same bits at every vector width.
 */
#ifndef NEXUS_DENSITY_H
#define NEXUS_DENSITY_H

#include "nexus_history.h"
#include "nexus_law.h"

#define NEXUS_LANES 16 /* runs are weighed in whole vectors; a partial sum for each lane */

_Static_assert(NEXUS_RUNS % NEXUS_LANES == 0, "a ring is whole vectors");

/* What an expert calls alike. */
typedef struct {
    float per_step;     /* 1 / (bandwidth in steps of 1/1024); 0: size does not matter */
    float other_class;  /* weight of a run on another class */
    float same_worker;  /* weight of a run on the same worker */
    float other_worker; /* weight of a run on another worker */
    int32_t ages;       /* which age table */
    int32_t law;        /* 1: runs are first moved along the type's power law to the asked size; 2: affine law */
    int32_t averaged;   /* 1: the answer is the weighted mean of the logarithms, not the densest band */
} nexus_alikeness;

/* Bins of a histogram, both inclusive; empty if low > high. */
typedef struct {
    int32_t low, high;
    float average; /* log2(ms), weighted; only if the expert asks for it */
} nexus_span;

/* Which runs count. */
typedef struct {
    int32_t unseen; /* this many of the newest do not */
    int32_t newest; /* if above 0: at least this many of the newest are looked at, not all */
} nexus_scope;

/* Sum of the weights and of their squares, by lane. */
typedef struct {
    float sum[NEXUS_LANES];
    float squares[NEXUS_LANES];
} nexus_tally;

/* Weighs the runs, and leaves their cumulative histogram in `space` and their weights in `all`. The span is empty if
 * the history is and there is no hint. Cost: the ring once, the bins of the span four times. */
nexus_span nexus_spread(const nexus_history *history, nexus_workspace *space, nexus_query query,
                        const nexus_alikeness *how, nexus_scope scope, nexus_tally *all);

/* The same for questions that differ in nothing but the class and name no worker, in two steps: what they share, and
 * what is left to do for one of them. `over` goes from the first to each second. Together they give what
 * nexus_spread gives, to the bit. Cost of the first: all but the scatter; of the second: the scatter, and the bins. */
nexus_span nexus_share(const nexus_history *history, nexus_workspace *space, nexus_query query,
                       const nexus_alikeness *how, nexus_scope scope);
nexus_span nexus_spread_class(const nexus_history *history, nexus_workspace *space, nexus_query query,
                              const nexus_alikeness *how, nexus_scope scope, nexus_span over);

/* Whether a run that counts may be of this class; if not, its answer is that of any other class without runs. */
int nexus_has_class(const nexus_history *history, uint16_t worker_class);

/* Span of the times of all runs, each moved along the power law to this size. */
nexus_span nexus_span_of(const nexus_history *history, nexus_workspace *space, int32_t size);

/* Total weight in a cumulative histogram; 0 if no run counted. */
int32_t nexus_total(const nexus_workspace *space, nexus_span over);

/* The value an expert answers, in log2(ms): whose band of 0.75 to 1.25 holds most weight, or the average. */
float nexus_centre(nexus_workspace *space, nexus_span over, const nexus_alikeness *how);

/* log2(ms) below which this share of the weight lies. */
float nexus_quantile(const nexus_workspace *space, nexus_span over, float share);

int32_t nexus_bin_of(int32_t time_step);

#endif
