#include "nexus_history.h"

#include "nexus_density.h"
#include "nexus_logarithm.h"

#define PER_OCTAVE(bandwidth) (1.0f / ((bandwidth) * 1024.0f))

/* Chosen by the average over all traces at hand and by the worst (docs/decisions/0020). */
static const nexus_alikeness EXPERTS[NEXUS_EXPERTS] = {
    {PER_OCTAVE(0.05f), 0.02f, 1.0f, 0.05f, 0, 0, 0}, /* near: the same payload size, e.g. templated prompts */
    {0.0f, 0.02f, 1.0f, 0.05f, 0, 0, 0},              /* cell: class and worker only */
    {0.0f, 0.02f, 1.0f, 0.005f, 1, 0, 0},             /* late: the newest runs of this very worker */
    {PER_OCTAVE(0.15f), 0.1f, 1.0f, 0.3f, 0, 0, 0},   /* wide: similar sizes, workers matter less */
    {PER_OCTAVE(0.5f), 0.02f, 1.0f, 0.05f, 0, 1, 0},  /* local: power law around this size */
    {0.0f, 0.02f, 1.0f, 0.05f, 0, 1, 0},              /* power: power law over all sizes */
    {0.0f, 0.1f, 1.0f, 0.1f, 2, 0, 0},                /* newest: after a change of regime */
    {0.0f, 0.02f, 1.0f, 0.05f, 0, 2, 0},              /* affine: affine law over all sizes */
    {0.0f, 1.0f, 1.0f, 1.0f, 3, 0, 1},                /* log-ema: no more than the type's moving average */
};

/* Where nothing is known of a type yet: prior hit rates, counted as this many trials. */
static const float PRIOR_HITS[NEXUS_EXPERTS] = {0.56f, 0.55f, 0.52f, 0.54f, 0.54f, 0.50f, 0.40f, 0.48f, 0.20f};
static const float PRIOR_TRIALS = 4.0f;
static const float TRIAL_SHARE = 0.02f; /* of the hit rate, per trial */

static const float QUANTILES[NEXUS_SHOWN] = {0.1f, 0.8f, 0.9f, 0.95f};
static const float SIDE_MIN = 0.02f;              /* log2: an interval is never narrower than this to a side */
static const float SIDE_COLD = 1.0f;              /* log2: one octave to a side after no run, a tenth after nine */
static const float WIDENING_GAIN = 0.06f;         /* adaptive conformal inference, Gibbs and Candes 2021 */
static const float WIDENING_LAG = 0.03f;          /* a result that n others overtook counts 1 / (1 + 0.03 n) here ... */
static const float TRIAL_LAG = 0.0625f;           /* ... and 1 / (1 + n / 16) in a hit rate and in the drift alarm */
static const float OCTAVES_MAX = 32.0f;           /* log2(ms): 50 days, beyond any run; widened liars' times were millennia */
static const float MISS_NOMINAL = 0.2f;
static const float WIDENING_MAX = 3.0f;

#define NEWEST_RUNS 192  /* looked at of a type that is predicted well */
static const float EASY_RATE = 0.9f; /* which it is from this hit rate on */

#define JUDGED_ALL 64    /* runs by which all experts are judged: the first of a type, and after an alarm */
#define JUDGED_SHIFT 62  /* then one in four */

static const float DRIFT_SLACK = 2.0f, DRIFT_LIMIT = 20.0f, DRIFT_STEP_MAX = 6.0f;
static const float DRIFT_WIDENING = 0.3f; /* log2 */
#define DRIFT_RUNS_MIN 32                 /* runs before the alarm may go off */

static float rate_of(const nexus_history *history, int32_t expert) {
    return (history->hits[expert] + PRIOR_TRIALS * PRIOR_HITS[expert]) / (history->trials[expert] + PRIOR_TRIALS);
}

static int32_t leader_of(const nexus_history *history) {
    int32_t leader = 0;
    float best = rate_of(history, 0);
    for (int32_t expert = 1; expert < NEXUS_EXPERTS; expert++) {
        const float rate = rate_of(history, expert);
        if (rate > best) {
            best = rate;
            leader = expert;
        }
    }
    return leader;
}

/* All runs, or of a type that is predicted well the newest. */
static nexus_scope scope_of(const nexus_history *history, int32_t leader, int32_t unseen) {
    const int easy = unseen <= NEWEST_RUNS / 4 && rate_of(history, leader) >= EASY_RATE;
    return (nexus_scope){unseen, easy ? NEWEST_RUNS : 0};
}

/* How far shown quantiles are moved away from the p50. */
typedef struct {
    float side_min; /* log2: they are never nearer than this, before ... */
    float factor;   /* ... they are this many times as far as the runs have them */
} widening;

static widening widening_of(const nexus_history *history) {
    return (widening){SIDE_MIN + SIDE_COLD / (float)(history->samples + 1),
                      (float)nexus_exp2((double)history->widening)};
}

static float below(float p50, float quantile, widening by) {
    const float side = p50 - quantile;
    const float shown = p50 - (side > by.side_min ? side : by.side_min) * by.factor;
    return shown > -OCTAVES_MAX ? shown : -OCTAVES_MAX;
}

static float above(float p50, float quantile, widening by) {
    const float side = quantile - p50;
    const float shown = p50 + (side > by.side_min ? side : by.side_min) * by.factor;
    return shown < OCTAVES_MAX ? shown : OCTAVES_MAX;
}

/* Mean from the quantiles 0.1 and 0.9. Swanson's rule for the mean of the logarithms, and ln 2 / 2 of their variance
 * for the mean of the times. */
static float mean_of(const nexus_workspace *space, nexus_span over, float low, float high) {
    const float middle = nexus_quantile(space, over, 0.5f);
    const float deviation = (high - low) * (1.0f / 2.5631031f); /* of the normal law with these quantiles */
    return 0.3f * low + 0.4f * middle + 0.3f * high + 0.34657359f * deviation * deviation;
}

/* Quantiles and mean from a cumulative histogram. */
static void describe(const nexus_workspace *space, nexus_span over, widening by, nexus_estimate *out) {
    float at[NEXUS_SHOWN];
    for (ptrdiff_t index = 0; index < NEXUS_SHOWN; index++) {
        at[index] = nexus_quantile(space, over, QUANTILES[index]);
        out->shown[index] = index == 0 ? below(out->p50, at[index], by) : above(out->p50, at[index], by);
    }
    const float mean = mean_of(space, over, at[0], at[2]);
    const float least = out->shown[0], most = out->shown[3] + 1.0f;
    out->mean = mean < least ? least : (mean > most ? most : mean);
}

/* The mean that describe() gives, without what it does not depend on. */
static float mean_alone(nexus_workspace *space, nexus_span over, const nexus_alikeness *how, widening by) {
    const float p50 = nexus_centre(space, over, how);
    const float low = nexus_quantile(space, over, QUANTILES[0]), high = nexus_quantile(space, over, QUANTILES[2]);
    const float mean = mean_of(space, over, low, high), least = below(p50, low, by);
    if (mean < least) return least;
    if (mean <= above(p50, high, by) + 1.0f) return mean; /* and the quantile 0.95 is no less than 0.9 */
    const float most = above(p50, nexus_quantile(space, over, QUANTILES[3]), by) + 1.0f;
    return mean > most ? most : mean;
}

/* Effective number of runs: (sum w)^2 / sum w^2. */
static float effective(const nexus_tally *all, float hint_weight) {
    float sum = hint_weight, squares = hint_weight * hint_weight;
    for (ptrdiff_t lane = 0; lane < NEXUS_LANES; lane++) {
        sum += all->sum[lane];
        squares += all->squares[lane];
    }
    return squares > 0.0f ? sum * sum / squares : 0.0f;
}

int nexus_predict(const nexus_history *history, nexus_workspace *space, nexus_query query, nexus_estimate *estimate) {
    if (history->count == 0 && !(query.hint_weight > 0.0f)) return -1;
    const int32_t expert = leader_of(history);
    nexus_tally all;
    const nexus_span over = nexus_spread(history, space, query, &EXPERTS[expert], scope_of(history, expert, 0), &all);
    estimate->expert = expert;
    estimate->hit_rate = rate_of(history, expert);
    estimate->p50 = nexus_centre(space, over, &EXPERTS[expert]);
    estimate->alike = effective(&all, query.hint_weight);
    describe(space, over, widening_of(history), estimate);
    return 0;
}

int nexus_class_means(const nexus_history *history, nexus_workspace *space, nexus_query query,
                      const uint16_t *classes, ptrdiff_t count, float *means_ms) {
    if (history->count == 0 && !(query.hint_weight > 0.0f)) return -1;
    const int32_t expert = leader_of(history);
    const nexus_scope scope = scope_of(history, expert, 0);
    const nexus_alikeness *how = &EXPERTS[expert];
    const nexus_span shared = nexus_share(history, space, query, how, scope);
    const widening by = widening_of(history);
    ptrdiff_t absent = -1; /* the first class without runs */
    for (ptrdiff_t index = 0; index < count; index++) {
        query.worker_class = classes[index];
        const int present = query.worker_class == 0 || nexus_has_class(history, query.worker_class);
        if (!present && absent >= 0) {
            means_ms[index] = means_ms[absent];
            continue;
        }
        if (!present) absent = index;
        const nexus_span over = nexus_spread_class(history, space, query, how, scope, shared);
        means_ms[index] = mean_alone(space, over, how, by);
    }
    for (ptrdiff_t index = 0; index < count; index++) means_ms[index] = (float)nexus_exp2((double)means_ms[index]);
    return 0;
}

/* Whether an expert would have been within 25 % just now. */
static int hit(const nexus_history *history, nexus_workspace *space, nexus_query query, int32_t leader,
               int32_t expert, int32_t unseen, float octave) {
    nexus_tally all;
    const nexus_scope scope = scope_of(history, leader, unseen);
    const nexus_span over = nexus_spread(history, space, query, &EXPERTS[expert], scope, &all);
    const float off = nexus_centre(space, over, &EXPERTS[expert]) - octave;
    return off <= 0.32192809f && off >= -0.41503750f; /* log2 1.25, log2 0.75 */
}

/* Whether this run is one that experts are judged by: all while the type is new or in doubt, later one in four. Which
 * ones is drawn by the count, not every fourth, lest workers in rotation be never heard. */
static int judged_now(const nexus_history *history) {
    if (history->samples < JUDGED_ALL || history->alert > 0) return 1;
    const uint64_t drawn = (uint64_t)history->samples * UINT64_C(0x9e3779b97f4a7c15);
    return drawn >> JUDGED_SHIFT == 0;
}

/* How much a result counts that `unseen` others overtook: results in bulk say the same thing many times. */
static float trust_of(int64_t unseen, float lag_share) { return 1.0f / (1.0f + lag_share * (float)unseen); }

static void judge(nexus_history *history, nexus_workspace *space, nexus_query query, int32_t unseen, float octave) {
    const int32_t leader = leader_of(history);
    const int32_t other = (leader + 1 + history->turn % (NEXUS_EXPERTS - 1)) % NEXUS_EXPERTS;
    history->turn = (history->turn + 1) % (NEXUS_EXPERTS - 1);
    const float trusted = trust_of(unseen, TRIAL_LAG), keep = 1.0f - TRIAL_SHARE * trusted;
    const int32_t tried[2] = {leader, other};
    for (ptrdiff_t index = 0; index < 2; index++) {
        const int32_t expert = tried[index];
        const int was_hit = hit(history, space, query, leader, expert, unseen, octave);
        history->hits[expert] = keep * history->hits[expert] + trusted * (float)was_hit;
        history->trials[expert] = keep * history->trials[expert] + trusted;
    }
}

/* After an alarm every expert must prove itself anew, and intervals are wider until hits narrow them again. */
static void doubt(nexus_history *history) {
    history->alert = JUDGED_ALL;
    for (int32_t expert = 0; expert < NEXUS_EXPERTS; expert++) {
        history->hits[expert] *= 0.5f;
        history->trials[expert] *= 0.5f;
    }
    const float wider = history->widening + DRIFT_WIDENING;
    history->widening = wider < WIDENING_MAX ? wider : WIDENING_MAX;
}

static float watched(float sum, float step) { return sum + step > 0.0f ? sum + step : 0.0f; }

/* Two-sided CUSUM of the standardised residual; an alarm starts it anew. */
static int watch_drift(nexus_history *history, float residual, float trusted) {
    const float capped = residual > DRIFT_STEP_MAX ? DRIFT_STEP_MAX : residual;
    const float step = capped < -DRIFT_STEP_MAX ? -DRIFT_STEP_MAX : capped;
    history->rise = watched(history->rise, trusted * (step - DRIFT_SLACK));
    history->fall = watched(history->fall, trusted * (-step - DRIFT_SLACK));
    if (history->rise <= DRIFT_LIMIT && history->fall <= DRIFT_LIMIT) return 0;
    history->rise = history->fall = 0.0f;
    history->drifts += 1;
    doubt(history);
    return 1;
}

static void append(nexus_history *history, nexus_query query, int16_t step) {
    const int32_t at = history->head;
    history->size[at] = query.size;
    history->time[at] = step;
    history->worker_class[at] = query.worker_class;
    history->worker[at] = query.worker;
    history->head = at + 1 == NEXUS_RUNS ? 0 : at + 1;
    if (history->count < NEXUS_RUNS) history->count += 1;
    history->samples += 1;
}

void nexus_push(nexus_history *history, nexus_query query, double run_ms) {
    const int16_t step = nexus_time_step(run_ms);
    nexus_take_moments(history, query.size, step);
    append(history, query, step);
}

int nexus_learn(nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                nexus_forecast forecast) {
    const int16_t step = nexus_time_step(run_ms);
    const float octave = (float)step * (1.0f / 1024.0f);
    query.hint_weight = 0.0f;
    const int64_t unseen = history->samples > forecast.seen ? history->samples - forecast.seen : 0;
    const int forecasted = forecast.low <= forecast.high;
    if (unseen < history->count && judged_now(history)) judge(history, space, query, (int32_t)unseen, octave);
    if (forecasted) {
        const float miss = octave < forecast.low || octave > forecast.high ? 1.0f : 0.0f;
        float widening = history->widening + WIDENING_GAIN * trust_of(unseen, WIDENING_LAG) * (miss - MISS_NOMINAL);
        widening = widening > WIDENING_MAX ? WIDENING_MAX : widening;
        history->widening = widening < -WIDENING_MAX ? -WIDENING_MAX : widening;
    }
    if (history->alert > 0) history->alert -= 1;
    nexus_take_moments(history, query.size, step);
    append(history, query, step);
    if (!forecasted || unseen >= history->count || history->count < DRIFT_RUNS_MIN) return 0;
    const float side = 0.5f * (forecast.high - forecast.low) / 1.2815516f; /* half of an 80 % interval in deviations */
    const float residual = (octave - forecast.p50) / (side > SIDE_MIN ? side : SIDE_MIN);
    return watch_drift(history, residual, trust_of(unseen, TRIAL_LAG));
}
