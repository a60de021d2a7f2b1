/* The last runs of one task type, and the predictions they give: a densest window over weighted neighbours.
 *
 * A history is a ring of the newest NEXUS_RUNS runs, each with the size of its payload, its service time (both as
 * log2 in steps of 1/1024), the class of its worker and the worker. A prediction weighs every run by how alike it
 * is (size, class, worker, age) and looks for the value whose band of 0.75 to 1.25 holds most weight: the value that
 * is within 25 % of most alike runs. Several *experts* differ in what they call alike, and one is no more than a moving
 * average; a tournament by decayed hit rate picks one per type. Source: prediction.md, facts 1 to 5; docs/decisions/0020.
 *
 * No libm and no sum whose order the compiler chooses: the same bits on every machine and at every vector width.
 */
#ifndef NEXUS_HISTORY_H
#define NEXUS_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#define NEXUS_RUNS 448     /* whole vectors of 16; a history fits into 4 KiB */
#define NEXUS_EXPERTS 9
#define NEXUS_AGES 4       /* how fast a run's weight fades: a table each */
#define NEXUS_BINS 2048    /* of the histogram: log2 of milliseconds from -32 to +32 in steps of 1/32 */
#define NEXUS_STRIPES 4    /* partial histograms */
#define NEXUS_SHOWN 4      /* quantiles of an estimate: 0.1, 0.8, 0.9, 0.95 */

typedef struct {
    int16_t size[NEXUS_RUNS];          /* log2(1 + bytes) * 1024; 0 without a payload */
    int16_t time[NEXUS_RUNS];          /* log2(ms) * 1024 */
    uint16_t worker_class[NEXUS_RUNS]; /* hash of the class */
    uint16_t worker[NEXUS_RUNS];       /* hash of the worker */
    int32_t count;                     /* runs in the ring, at most NEXUS_RUNS */
    int32_t head;                      /* where the next run goes */
    int64_t samples;                   /* runs ever learned */
    double weight;                     /* decayed count behind the moments of the power law */
    double mean_size, mean_time;       /* log2 */
    double size_size, size_time;       /* decayed second moments */
    double affine_weight;              /* decayed 1 / ms^2 behind the moments of the affine law */
    double affine_size, affine_time;   /* 1 + bytes; ms */
    double affine_size_size, affine_size_time; /* decayed second moments, weighted */
    float hits[NEXUS_EXPERTS];         /* decayed hits per expert */
    float trials[NEXUS_EXPERTS];       /* decayed trials per expert */
    float widening;                    /* log2 of the factor that intervals are widened by */
    float rise, fall;                  /* two-sided CUSUM of the standardised residual */
    int32_t drifts;                    /* alarms ever */
    int32_t turn;                      /* which expert is tried next */
    int32_t alert;                     /* runs left until the last alarm is forgotten */
} nexus_history;

_Static_assert(sizeof(nexus_history) <= 4096, "a type takes at most 4 KiB");

typedef struct {
    int16_t size;          /* as in the history */
    uint16_t worker_class; /* 0: not known */
    uint16_t worker;       /* 0: not known */
    float hint;            /* log2(ms) of the submitter's estimate */
    float hint_weight;     /* how many runs it counts as; 0 without a hint */
} nexus_query;

typedef struct {
    float p50;                 /* log2(ms), centre of the densest band */
    float shown[NEXUS_SHOWN];  /* log2(ms) quantiles, already widened */
    float mean;                /* log2(ms) of the log-normal mean, within the shown quantiles */
    float alike;               /* effective number of runs behind it: (sum w)^2 / sum w^2 */
    float hit_rate;            /* of the expert that spoke, 0..1 */
    int32_t expert;            /* which one */
} nexus_estimate;

typedef struct {
    float full[NEXUS_AGES][2 * NEXUS_RUNS];    /* weight by age in a full ring, laid out for any head */
    float growing[NEXUS_AGES][2 * NEXUS_RUNS]; /* in a ring that is not yet full: the ramp, then zeros */
    float weight[NEXUS_RUNS];
    float own[NEXUS_RUNS], other[NEXUS_RUNS]; /* weight if the run is of the asked class, and if it is not */
    uint16_t bin[NEXUS_RUNS];
    float histogram[NEXUS_STRIPES][NEXUS_BINS]; /* zero between calls; stripes, so that equal bins do not queue up */
    int32_t below[NEXUS_BINS + 128];            /* cumulative histogram with room for a band on both sides */
    int32_t held[NEXUS_BINS + 128];             /* what the band that ends at a bin holds */
} nexus_workspace; /* memory of the caller, so that these functions need none of their own */

/* Fills the age tables. Once per workspace. */
void nexus_prepare(nexus_workspace *space);

/* log2(ms) * 1024, bounded; log2(1 + bytes) * 1024. */
int16_t nexus_time_step(double run_ms);
int16_t nexus_size_step(double payload_bytes);

/* Full estimate for a query from at least one run (or a hint). Returns 0, or -1 if there is neither. */
int nexus_predict(const nexus_history *history, nexus_workspace *space, nexus_query query, nexus_estimate *estimate);

/* Means in ms (log-normal, within the shown quantiles) for several classes and no worker in particular: to the bit
 * those of one nexus_predict each, rounded to float. Returns 0, or -1 if there is neither a run nor a hint; then
 * nothing is written. Cost: the first class as much as a prediction without its quantiles, each further one the
 * scatter of the ring and the bins of its span; classes without runs cost one between them. */
int nexus_class_means(const nexus_history *history, nexus_workspace *space, nexus_query query,
                      const uint16_t *classes, ptrdiff_t count, float *means_ms);

/* What had been predicted for a run. */
typedef struct {
    float low, p50, high; /* log2(ms) of the 80 % interval and its middle; low > high if nothing was predicted */
    int64_t seen;         /* runs the history had then; some of them may have been struck out since */
} nexus_forecast;

/* Takes in one run. Experts are judged by what they could know when the task was predicted, because judging them by
 * results that came in between flatters those who follow the newest runs.
 * Returns 1 if this run made the drift alarm go off, else 0. */
int nexus_learn(nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                nexus_forecast forecast);

/* Takes in one run without judging anybody by it. */
void nexus_push(nexus_history *history, nexus_query query, double run_ms);

#endif
