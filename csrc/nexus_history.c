#include "nexus_history.h"

#include <string.h>

#include "nexus_dispatch.h"
#include "nexus_logarithm.h"

/* What an expert calls alike. Chosen by the average over all traces at hand and by the worst (docs/decisions/0020). */
typedef struct {
    float per_step;      /* 1 / (bandwidth in steps of 1/1024); 0: size does not matter */
    float other_class;   /* weight of a run on another class */
    float other_worker;  /* weight of a run on another worker */
    int32_t ages;        /* which age table */
    int32_t sloped;      /* 1: runs are first moved along the type's power law to the asked size */
} alikeness;

#define PER_OCTAVE(bandwidth) (1.0f / ((bandwidth) * 1024.0f))

static const alikeness EXPERTS[NEXUS_EXPERTS] = {
    {PER_OCTAVE(0.05f), 0.02f, 0.05f, 0, 0}, /* near: the same payload size, e.g. templated prompts */
    {0.0f, 0.02f, 0.05f, 0, 0},              /* cell: class and worker only */
    {0.0f, 0.02f, 0.005f, 1, 0},             /* late: the newest runs of this very worker */
    {PER_OCTAVE(0.15f), 0.1f, 0.3f, 0, 0},   /* wide: similar sizes, workers matter less */
    {PER_OCTAVE(0.5f), 0.02f, 0.05f, 0, 1},  /* local: power law around this size */
    {0.0f, 0.02f, 0.05f, 0, 1},              /* power: power law over all sizes */
    {0.0f, 0.1f, 0.1f, 2, 0},                /* newest: after a change of regime */
};

/* Where nothing is known of a type yet: prior hit rates, counted as this many trials. */
static const float PRIOR_HITS[NEXUS_EXPERTS] = {0.56f, 0.55f, 0.52f, 0.54f, 0.54f, 0.50f, 0.40f};
static const float PRIOR_TRIALS = 4.0f;
static const float TRIAL_KEEP = 0.98f;

static const double FADE[NEXUS_AGES] = {0.998, 0.99, 0.85};
static const float WEIGHT_FLOOR = 1e-4f; /* of the size kernel: far sizes count a little, so there is always an answer */

#define BAND_BINS 47                              /* log2(1.25 / 0.75) = 0.737 of steps of 1/64 */
static const float BAND_ABOVE = 0.41503749927884376f; /* log2(1 / 0.75): the centre is this far below the upper edge */
static const float BAND_SHARE_ABOVE = 0.5632f;     /* log2(1 / 0.75) / log2(1.25 / 0.75) */
static const float PLATEAU = 0.9999f;             /* positions this close to the best count as equal */

static const float QUANTILES[NEXUS_SHOWN] = {0.1f, 0.8f, 0.9f, 0.95f};
static const float SIDE_MIN = 0.02f;              /* log2: an interval is never narrower than this to a side */
static const float SIDE_COLD = 1.0f;              /* log2: one octave to a side after no run, a tenth after nine */
static const float WIDENING_GAIN = 0.08f;         /* adaptive conformal inference, Gibbs and Candes 2021 */
static const float LAG_SHARE = 0.0625f;            /* feedback that lags by n runs is trusted 1 / (1 + n / 16) as much */
static const float MISS_NOMINAL = 0.2f;
static const float WIDENING_MAX = 3.0f;

static const double MOMENT_KEEP = 0.99;
static const double SLOPE_PRIOR = 1.0, SLOPE_RIDGE = 0.3, SLOPE_MIN = -0.5, SLOPE_MAX = 2.0;

static const float DRIFT_SLACK = 2.0f, DRIFT_LIMIT = 15.0f, DRIFT_STEP_MAX = 3.0f;
static const float DRIFT_WIDENING = 0.3f; /* log2 */
#define DRIFT_RUNS_MIN 32 /* runs before the alarm may go off */

void nexus_prepare(nexus_workspace *space) {
    for (ptrdiff_t table = 0; table < NEXUS_AGES; table++) {
        /* The run at index j of a full ring has age (head - 1 - j) mod NEXUS_RUNS: one descending ramp, repeated. */
        double weight = 1.0;
        for (ptrdiff_t age = 0; age < NEXUS_RUNS; age++) {
            space->age[table][NEXUS_RUNS - 1 - age] = (float)weight;
            space->age[table][2 * NEXUS_RUNS - 1 - age] = (float)weight;
            weight *= FADE[table];
        }
    }
    memset(space->histogram, 0, sizeof space->histogram);
}

static int16_t to_step(double octaves) {
    const double step = octaves * 1024.0;
    if (step >= 31.9 * 1024.0) return (int16_t)(31.9 * 1024.0);
    if (step <= -31.9 * 1024.0) return (int16_t)(-31.9 * 1024.0);
    return (int16_t)(step >= 0.0 ? step + 0.5 : step - 0.5);
}

int16_t nexus_time_step(double run_ms) { return to_step(nexus_log2(run_ms > 1e-9 ? run_ms : 1e-9)); }

int16_t nexus_size_step(double payload_bytes) { return to_step(nexus_log2(1.0 + payload_bytes)); }

/* Weight of every run for a query: 1 / (1 + (distance / bandwidth)^2), times what another class, another worker and
 * age leave of it. One pass, no branch. */
NEXUS_CLONES
static void weigh(const nexus_history *restrict history, const float *restrict age, nexus_query query,
                  const alikeness *restrict expert, float *restrict weight) {
    const float per_step = expert->per_step, other_class = expert->other_class, other_worker = expert->other_worker;
    const ptrdiff_t count = history->count;
    for (ptrdiff_t run = 0; run < count; run++) {
        const float distance = (float)(history->size[run] - query.size) * per_step;
        float value = 1.0f / (1.0f + distance * distance) + WEIGHT_FLOOR;
        value *= history->worker_class[run] == query.worker_class ? 1.0f : other_class;
        value *= history->worker[run] == query.worker ? 1.0f : other_worker;
        weight[run] = value * age[run];
    }
}

/* Histogram bin of every run, moved by `slope` (in 1/1024) to the asked size. */
NEXUS_CLONES
static void place(const nexus_history *restrict history, int32_t size, int32_t slope, int16_t *restrict bin) {
    const ptrdiff_t count = history->count;
    for (ptrdiff_t run = 0; run < count; run++) {
        int32_t moved = history->time[run] + ((slope * (size - history->size[run])) >> 10);
        moved = (moved + 32768) >> 4;
        moved = moved < 0 ? 0 : moved;
        bin[run] = (int16_t)(moved > NEXUS_BINS - 1 ? NEXUS_BINS - 1 : moved);
    }
}

NEXUS_CLONES
static void span_of(const int16_t *restrict bin, ptrdiff_t count, int32_t *lowest, int32_t *highest) {
    int16_t low = NEXUS_BINS - 1, high = 0;
    for (ptrdiff_t run = 0; run < count; run++) {
        low = bin[run] < low ? bin[run] : low;
        high = bin[run] > high ? bin[run] : high;
    }
    *lowest = low;
    *highest = high;
}

static float octave_of(float bin) { return bin * (1.0f / 64.0f) - 32.0f; }

/* Value whose band of BAND_BINS bins holds most weight, in log2(ms). Of equal ones the one that divides them as a value
 * divides its band, so that runs that are all alike predict themselves. */
static float densest(const float *restrict histogram, int32_t low, int32_t high) {
    float held = 0.0f, best = -1.0f;
    int32_t first = low, last = low;
    for (int32_t bin = low; bin < high + BAND_BINS; bin++) {
        if (bin <= high) held += histogram[bin];
        if (bin - BAND_BINS >= low) held -= histogram[bin - BAND_BINS];
        if (held * PLATEAU > best) {
            best = held;
            first = last = bin;
        } else if (held >= best * PLATEAU && last == bin - 1) {
            last = bin;
        }
    }
    return octave_of((float)first + BAND_SHARE_ABOVE * (float)(last - first) + 0.5f) - BAND_ABOVE;
}

static int32_t slope_of(const nexus_history *history) {
    double slope = (history->size_time + SLOPE_RIDGE * SLOPE_PRIOR) / (history->size_size + SLOPE_RIDGE);
    if (slope < SLOPE_MIN) slope = SLOPE_MIN;
    if (slope > SLOPE_MAX) slope = SLOPE_MAX;
    return (int32_t)(slope * 1024.0);
}

static const float *ages_of(const nexus_history *history, const nexus_workspace *space, int32_t table) {
    const ptrdiff_t start = history->count < NEXUS_RUNS ? NEXUS_RUNS - history->count : NEXUS_RUNS - history->head;
    return space->age[table] + start;
}

/* Fills the histogram for one expert; the caller clears [low, high] again. */
static void spread_out(const nexus_history *history, nexus_workspace *space, nexus_query query, int32_t expert,
                       int32_t unseen, int32_t *low, int32_t *high) {
    const alikeness *how = &EXPERTS[expert];
    const ptrdiff_t count = history->count;
    *low = NEXUS_BINS - 1;
    *high = 0;
    if (count > 0) {
        weigh(history, ages_of(history, space, how->ages), query, how, space->weight);
        place(history, query.size, how->sloped ? slope_of(history) : 0, space->bin);
        span_of(space->bin, count, low, high);
        for (int32_t age = 0; age < unseen; age++)
            space->weight[(history->head - 1 - age + NEXUS_RUNS) % NEXUS_RUNS] = 0.0f;
        for (ptrdiff_t run = 0; run < count; run++) space->histogram[space->bin[run]] += space->weight[run];
    }
    if (query.hint_weight > 0.0f) {
        const int32_t bin = (to_step((double)query.hint) + 32768) >> 4;
        space->histogram[bin] += query.hint_weight;
        *low = bin < *low ? bin : *low;
        *high = bin > *high ? bin : *high;
    }
}

static void clear(nexus_workspace *space, int32_t low, int32_t high) {
    memset(space->histogram + low, 0, (size_t)(high - low + 1) * sizeof space->histogram[0]);
}

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

/* Quantiles, mean and effective count from a filled histogram. */
static void describe(const nexus_workspace *space, int32_t low, int32_t high, float side_min, float widening,
                     nexus_estimate *out) {
    const float *histogram = space->histogram;
    float total = 0.0f, moment = 0.0f, square = 0.0f;
    for (int32_t bin = low; bin <= high; bin++) {
        const float weight = histogram[bin], from_low = (float)(bin - low);
        total += weight;
        moment += weight * from_low;
        square += weight * from_low * from_low;
    }
    float below = 0.0f;
    int32_t bin = low;
    for (ptrdiff_t index = 0; index < NEXUS_SHOWN; index++) {
        const float wanted = QUANTILES[index] * total;
        while (bin < high && below + histogram[bin] < wanted) below += histogram[bin++];
        const float part = histogram[bin] > 0.0f ? (wanted - below) / histogram[bin] : 0.5f;
        const float at = octave_of((float)bin + (part < 1.0f ? part : 1.0f));
        float side = index == 0 ? out->p50 - at : at - out->p50;
        side = (side > side_min ? side : side_min) * widening;
        out->shown[index] = index == 0 ? out->p50 - side : out->p50 + side;
    }
    const float centre = moment / total;
    const float variance = (square / total - centre * centre) * (1.0f / 4096.0f);
    const float mean = octave_of((float)low + centre + 0.5f) + 0.34657359f * variance; /* ln 2 / 2 */
    const float least = out->shown[0], most = out->shown[3] + 1.0f;
    out->mean = mean < least ? least : (mean > most ? most : mean);
}

static float effective(const nexus_workspace *space, ptrdiff_t count, float hint_weight) {
    float sum = hint_weight, squares = hint_weight * hint_weight;
    for (ptrdiff_t run = 0; run < count; run++) {
        sum += space->weight[run];
        squares += space->weight[run] * space->weight[run];
    }
    return squares > 0.0f ? sum * sum / squares : 0.0f;
}

int nexus_predict(const nexus_history *history, nexus_workspace *space, nexus_query query, nexus_estimate *estimate) {
    if (history->count == 0 && !(query.hint_weight > 0.0f)) return -1;
    const int32_t expert = leader_of(history);
    int32_t low, high;
    spread_out(history, space, query, expert, 0, &low, &high);
    estimate->expert = expert;
    estimate->hit_rate = rate_of(history, expert);
    estimate->p50 = densest(space->histogram, low, high);
    estimate->alike = effective(space, history->count, query.hint_weight);
    describe(space, low, high, SIDE_MIN + SIDE_COLD / (float)(history->samples + 1),
             (float)nexus_exp2((double)history->widening), estimate);
    clear(space, low, high);
    return 0;
}

/* Whether an expert would have been within 25 % just now. */
static int hit(const nexus_history *history, nexus_workspace *space, nexus_query query, int32_t expert,
               int32_t unseen, float octave, float *p50) {
    int32_t low, high;
    spread_out(history, space, query, expert, unseen, &low, &high);
    *p50 = densest(space->histogram, low, high);
    clear(space, low, high);
    const float above = *p50 - octave;
    return above <= 0.32192809f && above >= -0.41503750f; /* log2 1.25, log2 0.75 */
}

static void judge(nexus_history *history, nexus_workspace *space, nexus_query query, int32_t unseen, float octave,
                  float *residual) {
    const int32_t leader = leader_of(history);
    const int32_t other = (leader + 1 + history->turn % (NEXUS_EXPERTS - 1)) % NEXUS_EXPERTS;
    history->turn = (history->turn + 1) % (NEXUS_EXPERTS - 1);
    const int32_t tried[2] = {leader, other};
    float p50;
    for (ptrdiff_t index = 0; index < 2; index++) {
        const int32_t expert = tried[index];
        const int was_hit = hit(history, space, query, expert, unseen, octave, &p50);
        history->hits[expert] = TRIAL_KEEP * history->hits[expert] + (float)was_hit;
        history->trials[expert] = TRIAL_KEEP * history->trials[expert] + 1.0f;
        if (index == 0) *residual = octave - p50;
    }
}

static void take_moments(nexus_history *history, double size, double time) {
    history->weight = MOMENT_KEEP * history->weight + 1.0;
    const double share = 1.0 / history->weight;
    const double size_off = size - history->mean_size, time_off = time - history->mean_time;
    history->mean_size += share * size_off;
    history->mean_time += share * time_off;
    history->size_size = MOMENT_KEEP * history->size_size + size_off * (size - history->mean_size);
    history->size_time = MOMENT_KEEP * history->size_time + size_off * (time - history->mean_time);
}

/* After an alarm every expert must prove itself anew, and intervals are wider until hits narrow them again. */
static void doubt(nexus_history *history) {
    for (int32_t expert = 0; expert < NEXUS_EXPERTS; expert++) {
        history->hits[expert] *= 0.5f;
        history->trials[expert] *= 0.5f;
    }
    history->widening = history->widening + DRIFT_WIDENING < WIDENING_MAX ? history->widening + DRIFT_WIDENING : WIDENING_MAX;
}

static int watch_drift(nexus_history *history, float residual, float side) {
    float step = residual / side;
    step = step > DRIFT_STEP_MAX ? DRIFT_STEP_MAX : (step < -DRIFT_STEP_MAX ? -DRIFT_STEP_MAX : step);
    history->rise = history->rise + step - DRIFT_SLACK > 0.0f ? history->rise + step - DRIFT_SLACK : 0.0f;
    history->fall = history->fall - step - DRIFT_SLACK > 0.0f ? history->fall - step - DRIFT_SLACK : 0.0f;
    if (history->rise <= DRIFT_LIMIT && history->fall <= DRIFT_LIMIT) return 0;
    history->rise = history->fall = 0.0f;
    history->drifts += 1;
    doubt(history);
    return 1;
}

static void append(nexus_history *history, nexus_query query, int16_t step) {
    take_moments(history, (double)query.size * (1.0 / 1024.0), (double)step * (1.0 / 1024.0));
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
    append(history, query, nexus_time_step(run_ms));
}

int nexus_learn(nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms, float low,
                float high, int64_t seen) {
    const int16_t step = nexus_time_step(run_ms);
    const float octave = (float)step * (1.0f / 1024.0f);
    float residual = 0.0f;
    query.hint_weight = 0.0f;
    const int64_t unseen = history->samples - seen;
    const int judged = unseen < history->count;
    if (judged) judge(history, space, query, (int32_t)unseen, octave, &residual);
    if (low <= high) {
        const float miss = octave < low || octave > high ? 1.0f : 0.0f;
        float widening = history->widening + WIDENING_GAIN / (1.0f + LAG_SHARE * (float)unseen) * (miss - MISS_NOMINAL);
        widening = widening > WIDENING_MAX ? WIDENING_MAX : widening;
        history->widening = widening < -WIDENING_MAX ? -WIDENING_MAX : widening;
    }
    append(history, query, step);
    if (!judged || history->count < DRIFT_RUNS_MIN || low > high) return 0;
    const float side = 0.5f * (high - low) / 1.2815516f; /* half of an 80 % interval in standard deviations */
    return watch_drift(history, residual, side > SIDE_MIN ? side : SIDE_MIN);
}
