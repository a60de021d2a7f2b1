#include "nexus_pace.h"

#include <math.h>

static const double SLACK = 1.0, ALARM = 6.0;
static const double SPREAD_MIN = 0.25;  /* relative; predictions are not better than that */
static const double P95_NORMAL = 1.645; /* standard deviations from the median to the 95th percentile */
static const double NEAR_MAX = 1.25;    /* 1 + SLACK * SPREAD_MIN: nearer runs never add to a sum */

static const double FACTOR_DRIFT = 2e-4;    /* variance that a factor gains from run to run: what was known wears off */
static const double TYPICAL_ALPHA = 0.002;  /* follows 500 runs of anybody, where a factor follows 20 of its worker */
static const double TYPICAL_MIN = 0.5, TYPICAL_MAX = 2.0;
static const double DEAD_BAND_ERRORS = 2.0; /* what may be chance is ignored as well: so many standard errors */
static const double SURPRISE_MAX = 1.0;     /* of one run: three times as long as predicted, or a third */
static const double SPREAD_HALF = 0.5;      /* predicted relative spread at which a run says half of what a sure one does */
static const double SPREAD_MAX = 1e150;     /* whatever a plug-in has said: its square is finite */
static const double P10_TO_P90 = 2.563103;  /* standard deviations between these percentiles */
static const double PACE_ALPHA = 0.05;      /* how fast a pace follows ... */
static const double PACE_PRIOR = 4.0;       /* ... and with how many average runs it starts (prediction.md, fact 2) */
static const double PACE_RETURN = 3.0;      /* to 1 so much faster: who gets to know a worker must not be corrected too */
static const double PACE_STEP_MAX = 0.5;

static inline double least_of(double left, double right) { return right < left ? right : left; }
static inline double most_of(double left, double right) { return right > left ? right : left; }
static inline double within(double value, double least, double most) { return least_of(most_of(value, least), most); }

void nexus_pace_reset(nexus_pace *pace) {
    *pace = (nexus_pace){.factor = 1.0, .doubt = NEXUS_DOUBT_AT_FIRST, .pace = 1.0, .former = 1.0};
}

double nexus_deviation(double run_ms, double p50_ms, double p95_ms) {
    const double ratio = run_ms / p50_ms;
    const double spread = most_of(SPREAD_MIN, (p95_ms / p50_ms - 1.0) / P95_NORMAL);
    if (ratio >= 1.0) return least_of((ratio - 1.0) / spread, NEXUS_DEVIATION_MOST);
    return -least_of((1.0 / ratio - 1.0) / spread, NEXUS_DEVIATION_MOST);
}

void nexus_pace_settle(nexus_pace *pace) {
    pace->slower = pace->faster = pace->run_ms = pace->expected_ms = 0.0;
    pace->former = 1.0;
    pace->runs = 0;
}

double nexus_pace_observe(nexus_pace *pace, double run_ms, double class_ms, double p50_ms, double p95_ms) {
    if (run_ms <= 0.0 || class_ms <= 0.0 || p50_ms <= 0.0) return 0.0;
    const int near = 1.0 / NEAR_MAX * p50_ms <= run_ms && run_ms <= NEAR_MAX * p50_ms;
    if (pace->runs == 0 && near) return 0.0;
    const double away = nexus_deviation(run_ms, p50_ms, p95_ms);
    if (pace->runs == 0) {
        if (fabs(away) <= SLACK) return 0.0;
        pace->former = pace->factor;
    }
    pace->slower = most_of(0.0, pace->slower + away - SLACK);
    pace->faster = most_of(0.0, pace->faster - away - SLACK);
    if (pace->slower == 0.0 && pace->faster == 0.0) {
        nexus_pace_settle(pace);
        return 0.0;
    }
    pace->runs += 1;
    pace->run_ms += run_ms;
    pace->expected_ms += class_ms;
    return most_of(pace->slower, pace->faster) >= ALARM ? pace->run_ms / pace->expected_ms : 0.0;
}

/* How far a run is from its median: bounded, and odd in the logarithm of the ratio, so heavy tails bend nothing. */
static double surprise_of(double run_ms, double median_ms) {
    return within(2.0 * (run_ms - median_ms) / (run_ms + median_ms), -SURPRISE_MAX, SURPRISE_MAX);
}

/* Relative spread of what was predicted. */
static double spread_of(const nexus_told *told) {
    const double width_ms = told->p90_ms - told->p10_ms;
    if (!(told->p50_ms > 0.0 && told->mean_ms > 0.0 && width_ms > 0.0)) return SPREAD_HALF;
    return least_of(width_ms / (P10_TO_P90 * told->p50_ms), SPREAD_MAX);
}

/* By how much less a run counts that was predicted with this spread. */
static double unsureness(double spread) {
    const double halves = spread / SPREAD_HALF;
    return 1.0 + halves * halves;
}

/* Variance of a run's surprise, which is bounded however wide the prediction was. */
static double noise_of(double spread) {
    const double counted = most_of(spread, SPREAD_MIN), variance = counted * counted;
    return variance / (1.0 + variance);
}

static double learn_factor(nexus_pace *pace, double typical, double run_ms, double class_ms, const nexus_told *told,
                           double spread) {
    const double median = told->p50_ms > 0.0 && told->mean_ms > 0.0 ? told->p50_ms / told->mean_ms : 1.0;
    const double typical_ms = typical * median * class_ms;
    const double step = pace->doubt / (pace->doubt + noise_of(spread));
    const double moved = pace->factor * (1.0 + step * surprise_of(run_ms, pace->factor * typical_ms));
    pace->samples += 1;
    pace->doubt = (1.0 - step) * pace->doubt + FACTOR_DRIFT;
    pace->factor = within(moved, NEXUS_FACTOR_LEAST, NEXUS_FACTOR_MOST);
    const double share = TYPICAL_ALPHA / unsureness(spread);
    return within(typical * (1.0 + share * surprise_of(run_ms, typical_ms)), TYPICAL_MIN, TYPICAL_MAX);
}

static void learn_pace(nexus_pace *pace, double run_ms, double told_pace, const nexus_told *told, double spread) {
    const double surprise = surprise_of(run_ms, told->p50_ms / told_pace * pace->pace);
    pace->pace_samples += 1;
    double step = most_of(PACE_ALPHA, 1.0 / ((double)pace->pace_samples + PACE_PRIOR)) / unsureness(spread);
    if ((pace->pace - 1.0) * surprise < 0.0) step = least_of(step * PACE_RETURN, PACE_STEP_MAX);
    pace->pace = within(pace->pace * (1.0 + step * surprise), NEXUS_PACE_LEAST, NEXUS_PACE_MOST);
}

double nexus_pace_learn(nexus_pace *pace, double typical, double run_ms, double class_ms, double told_pace,
                        const nexus_told *told) {
    if (run_ms <= 0.0) return typical;
    const double spread = spread_of(told);
    if (class_ms > 0.0) typical = learn_factor(pace, typical, run_ms, class_ms, told, spread);
    if (told->p50_ms > 0.0) learn_pace(pace, run_ms, told_pace, told, spread);
    return typical;
}

double nexus_pace_significant(const nexus_pace *pace) {
    const double band = most_of(NEXUS_DEAD_BAND, DEAD_BAND_ERRORS * sqrt(pace->doubt) * pace->factor);
    return fabs(pace->factor - 1.0) > band ? pace->factor : 1.0;
}
