/* What one run says of its worker's pace: whether it has changed, and what it is.
 *
 * Change: two cumulative sums over how far runs are from what was predicted for the worker, one for slower and one for
 * faster (Page 1954). Each run adds its deviation less a slack, never below 0; a sum at the alarm says that the pace has
 * changed, and the runs since that sum was last 0 say to what: two runs that take five times as long are enough, and a
 * single wild one is not. The deviation is `measured / predicted - 1`, or for faster runs the same of the inverse, in
 * units of the spread that was predicted, so runs of a wide type say less.
 *
 * Factor: measured / predicted for the class. A run counts by the inverse of its variance, what is known already by
 * that of `doubt`, which grows a little with every run, as paces change (docs/decisions/0037). What predictions miss on
 * the whole fleet is `typical`, and no worker's own: a factor is a pace among others.
 *
 * Pace: measured / predicted for this very worker, so 1 where the predictor knows it.
 *
 * float64, a fixed order of operations, ratios instead of logarithms: no call into libm but sqrt, which is exact.
 */
#ifndef NEXUS_PACE_H
#define NEXUS_PACE_H

#include <stdint.h>

#define NEXUS_FACTOR_LEAST 0.05   /* how far a factor may go ... */
#define NEXUS_FACTOR_MOST 20.0
#define NEXUS_PACE_LEAST 0.25     /* ... and a pace, beyond what was predicted for this very worker */
#define NEXUS_PACE_MOST 4.0
#define NEXUS_DEAD_BAND 0.1       /* the choice ignores smaller differences, else it chases noise (placement.md, fact 3) */
#define NEXUS_DOUBT_AT_FIRST 0.09 /* the factors of workers of a class lie within some 0.3 of each other */
#define NEXUS_DEVIATION_MOST 4.0  /* of one run */

typedef struct {
    double factor;        /* learned slowness: measured / predicted for its class, 1 = average */
    double doubt;         /* relative variance of `factor` */
    double pace;          /* learned: measured / predicted for this very worker */
    int64_t samples;      /* runs behind `factor` */
    int64_t pace_samples; /* runs behind `pace` */
    double slower, faster; /* the two sums */
    int64_t runs;         /* since both sums were 0; 0: there is nothing to remember */
    double run_ms;        /* their measured time */
    double expected_ms;   /* what their type takes on an average worker */
    double former;        /* the factor before them */
} nexus_pace;

typedef struct {
    double p50_ms, mean_ms, p95_ms, p10_ms, p90_ms; /* what had been predicted for the run; no p10 and p90: both 0 */
} nexus_told;

/* A worker of which nothing is known. */
void nexus_pace_reset(nexus_pace *pace);

/* How far a run is from its prediction, in spreads, above 0 if slower. Both must be positive. Deviations within +-1 add
 * to no sum. */
double nexus_deviation(double run_ms, double p50_ms, double p95_ms);

/* Takes in a run that takes `class_ms` on an average worker. Gives measured / expected since the change if there is
 * one, and then leaves the sums for whoever starts the factor anew; else 0. */
double nexus_pace_observe(nexus_pace *pace, double run_ms, double class_ms, double p50_ms, double p95_ms);

/* The run so far has proved right: there is nothing left of a change, or there never was one. */
void nexus_pace_settle(nexus_pace *pace);

/* Moves the factor, and the pace, of which `told_pace` was in the prediction already; gives the new `typical`. */
double nexus_pace_learn(nexus_pace *pace, double typical, double run_ms, double class_ms, double told_pace,
                        const nexus_told *told);

/* The factor that the choice goes by: 1 unless what was learned is far from it and unlikely to be chance. */
double nexus_pace_significant(const nexus_pace *pace);

#endif
