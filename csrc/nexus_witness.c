#include "nexus_witness.h"

#include <string.h>

#include "nexus_density.h"
#include "nexus_logarithm.h"

#define VOTERS 5         /* other workers heard about a run that is out of proportion */
#define VOTERS_MIN 2     /* one word against another convicts nobody */
#define ASKED 16         /* workers that are asked whether they know such sizes at all */
#define RUNS_MIN 16      /* of a type before anybody is accused of anything ... */
#define WITNESSES_MIN 12 /* ... and of others; whoever has most of those does not count, lest a liar outshout them */
static const int32_t NEAR = 3 * 1024;        /* octaves of size: who never ran anything nearer knows nothing of it */
static const float BEYOND = 3.0f;            /* octaves: a lie is this far beyond most of a witness's own runs */
static const int32_t SLOWEST = 4695;         /* log2 24: machines may differ by 20 (placement.md, fact 8) and noise */
static const int32_t ITSELF = 2 * 1024;      /* octaves: a machine that is always that slow is within this of itself */
#define OWN_RUNS_MIN 4                       /* to be always that slow */
static const float LOW = 0.1f, HIGH = 0.95f; /* quantiles between which most of them lie */

/* Runs of about this size, moved to it along the power law, whoever leads: a size must not pass for a lie, nor a lie
 * for a size. What all others take; and what one witness takes. */
static const nexus_alikeness OTHERS = {1.0f / 512.0f, 0.02f, 0.0f, 0.05f, 0, 1};
static const nexus_alikeness ALONE = {1.0f / 512.0f, 0.02f, 1.0f, 0.0f, 0, 1};

/* What is asked about one run. */
typedef struct {
    const nexus_history *history;
    nexus_workspace *space;
    nexus_query accused;
    int32_t step;  /* its time, in 1/1024 octave */
    int32_t limit; /* the proportion, as well */
    int32_t off;   /* how far its time is from what the others take */
} charge;

static nexus_run run_at(const nexus_history *history, int32_t at) {
    return (nexus_run){history->size[at], history->time[at], history->worker_class[at], history->worker[at]};
}

/* The ring's run that came `back` runs ago; 1 is the newest. */
static int32_t index_of(const nexus_history *history, int32_t back) {
    return history->head >= back ? history->head - back : history->head - back + NEXUS_RUNS;
}

static int beyond(int32_t off, int32_t limit) { return off > limit || off < -limit; }

/* Whether enough others have run the type. If one of them has run it more often than all the rest together (it is the
 * candidate of the majority vote of Boyer and Moore 1981), its runs do not count. */
static int witnessed(const nexus_history *history, uint16_t accused) {
    uint16_t candidate = 0;
    int32_t lead = 0, others = 0, most = 0;
    for (int32_t run = 0; run < history->count; run++) {
        const uint16_t worker = history->worker[run];
        if (worker == accused || worker == 0) continue;
        if (lead == 0) candidate = worker;
        lead += worker == candidate ? 1 : -1;
        others++;
    }
    for (int32_t run = 0; run < history->count; run++) most += history->worker[run] == candidate;
    return others - (candidate == 0 ? 0 : most) >= WITNESSES_MIN;
}

/* Whether the newest runs of most of the last VOTERS other workers, moved to the same size, are further off than
 * `limit`. -1: too few. Cheap and rough: it spares usual runs the rest. */
static int outvoted(const charge *of, int32_t limit) {
    const nexus_history *history = of->history;
    const int32_t slope = nexus_slope(history);
    uint16_t heard[VOTERS];
    int32_t voters = 0, against = 0;
    for (int32_t back = 1; back <= history->count && voters < VOTERS; back++) {
        const int32_t run = index_of(history, back);
        const uint16_t worker = history->worker[run];
        int known = worker == of->accused.worker || worker == 0;
        for (int32_t voter = 0; voter < voters; voter++) known |= heard[voter] == worker;
        if (known) continue;
        heard[voters++] = worker;
        against += beyond(history->time[run] + ((slope * (of->accused.size - history->size[run])) >> 10) - of->step,
                          limit);
    }
    return voters < VOTERS_MIN ? -1 : 2 * against > voters;
}

/* What others than the accused take for a size on a class, in 1/1024 octave. There are others. */
static int32_t expected(const charge *of, int16_t size, uint16_t worker_class) {
    nexus_query query = of->accused;
    query.size = size;
    query.worker_class = worker_class;
    nexus_tally all;
    const nexus_span over = nexus_spread(of->history, of->space, query, &OTHERS, (nexus_scope){0, 0}, &all);
    return (int32_t)(nexus_quantile(of->space, over, 0.5f) * 1024.0f);
}

/* Whether a run of another worker is as far off, and in the same direction: a change that others share is no lie. */
static int shared_by(const charge *of, nexus_run run) {
    return !beyond(of->off - (run.time - expected(of, run.size, run.worker_class)), of->limit);
}

/* Whether a witness never ran like that itself. Where its runs differ that much anyway, it has no objection. */
static int unheard_of(const charge *of, uint16_t witness) {
    nexus_query query = of->accused;
    query.worker = witness;
    nexus_tally all;
    const nexus_span over = nexus_spread(of->history, of->space, query, &ALONE, (nexus_scope){0, 0}, &all);
    if (nexus_total(of->space, over) == 0) return 0;
    const float octave = (float)of->step * (1.0f / 1024.0f), proportion = (float)of->limit * (1.0f / 1024.0f);
    const float middle = nexus_quantile(of->space, over, 0.5f);
    const float low = nexus_quantile(of->space, over, LOW) - BEYOND;
    const float high = nexus_quantile(of->space, over, HIGH) + BEYOND;
    const float least = low < middle - proportion ? low : middle - proportion;
    const float most = high > middle + proportion ? high : middle + proportion;
    return octave < least || octave > most;
}

/* Whether a machine of unusual but possible speed runs as it always does. */
static int as_ever(const charge *of) {
    const nexus_history *history = of->history;
    int32_t own = 0;
    for (int32_t run = 0; run < history->count; run++) own += history->worker[run] == of->accused.worker;
    if (own < OWN_RUNS_MIN) return 0;
    nexus_tally all;
    const nexus_span over = nexus_spread(history, of->space, of->accused, &ALONE, (nexus_scope){0, 0}, &all);
    if (nexus_total(of->space, over) == 0) return 0;
    const int32_t middle = (int32_t)(nexus_quantile(of->space, over, 0.5f) * 1024.0f);
    return !beyond(of->step - middle, ITSELF) && !beyond(middle - (of->step - of->off), SLOWEST);
}

static int knows_size(const charge *of, uint16_t witness) {
    const nexus_history *history = of->history;
    for (int32_t run = 0; run < history->count; run++)
        if (history->worker[run] == witness && !beyond(history->size[run] - of->accused.size, NEAR)) return 1;
    return 0;
}

static int is_heard(const uint16_t *heard, int32_t count, uint16_t worker) {
    for (int32_t index = 0; index < count; index++)
        if (heard[index] == worker) return 1;
    return 0;
}

/* DOUBTFUL or NEWS by one vote for each of the last VOTERS others; UNTOLD if too few know. */
static int verdict_of(const charge *of, const nexus_run *held, ptrdiff_t held_count) {
    const nexus_history *history = of->history;
    uint16_t heard[ASKED] = {of->accused.worker};
    int32_t asked = 1, voters = 0, against = 0;
    for (ptrdiff_t index = held_count - 1; index >= 0 && voters < VOTERS; index--) {
        if (is_heard(heard, asked, held[index].worker) || !shared_by(of, held[index])) continue;
        heard[asked++] = held[index].worker;
        voters++;
    }
    for (int32_t back = 1; back <= history->count && voters < VOTERS && asked < ASKED; back++) {
        const nexus_run newest = run_at(history, index_of(history, back));
        if (newest.worker == 0 || is_heard(heard, asked, newest.worker)) continue;
        heard[asked++] = newest.worker;
        if (!knows_size(of, newest.worker)) continue;
        voters++;
        against += !shared_by(of, newest) && unheard_of(of, newest.worker);
    }
    if (voters < VOTERS_MIN) return NEXUS_UNTOLD;
    return 2 * against > voters ? NEXUS_DOUBTFUL : NEXUS_NEWS;
}

static int judged(const nexus_history *history, nexus_workspace *space, nexus_query query, int32_t step,
                  int32_t limit, const nexus_run *held, ptrdiff_t held_count) {
    if (history->samples < RUNS_MIN || query.worker == 0) return NEXUS_UNTOLD;
    const nexus_span over = nexus_span_of(history, space, query.size);
    const int32_t bin = nexus_bin_of(step), bins = nexus_bin_of(limit) - nexus_bin_of(0);
    if (bin - over.low <= bins && over.high - bin <= bins) return NEXUS_USUAL; /* within proportion of every run */
    query.hint_weight = 0.0f;
    charge of = {history, space, query, step, limit, 0};
    const int rough = outvoted(&of, limit / 2);
    if (rough <= 0) return rough < 0 ? NEXUS_UNTOLD : NEXUS_USUAL;
    of.off = step - expected(&of, query.size, query.worker_class);
    if (!beyond(of.off, limit) || as_ever(&of)) return NEXUS_USUAL;
    if (!witnessed(history, query.worker)) return NEXUS_UNTOLD;
    return verdict_of(&of, held, held_count);
}

int nexus_testimony(const nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                    float proportion, const nexus_run *held, ptrdiff_t held_count) {
    const int32_t limit = (int32_t)(proportion * 1024.0f);
    return judged(history, space, query, nexus_time_step(run_ms), limit, held, held_count);
}

static nexus_query query_of(nexus_run run) {
    return (nexus_query){.size = run.size, .worker_class = run.worker_class, .worker = run.worker};
}

static double milliseconds_of(nexus_run run) { return nexus_exp2((double)run.time * (1.0 / 1024.0)); }

/* As the scheduler does it: first predicted, then learned. */
static void replay(nexus_history *history, nexus_workspace *space, nexus_run run) {
    nexus_estimate told;
    nexus_forecast forecast = {1.0f, 0.0f, 0.0f, history->samples};
    if (nexus_predict(history, space, query_of(run), &told) == 0)
        forecast = (nexus_forecast){told.shown[0], told.p50, told.shown[2], history->samples};
    nexus_learn(history, space, query_of(run), milliseconds_of(run), forecast);
}

/* What experts, intervals and the alarm have learned from hits and misses. */
static void keep_judgement(nexus_history *history, const nexus_history *before) {
    memcpy(history->hits, before->hits, sizeof history->hits);
    memcpy(history->trials, before->trials, sizeof history->trials);
    history->widening = before->widening;
    history->rise = before->rise;
    history->fall = before->fall;
    history->drifts = before->drifts;
    history->turn = before->turn;
    history->alert = before->alert;
}

/* Without the marked runs. With a workspace, experts are judged anew by the runs that are left. */
static void rebuild(nexus_history *history, nexus_workspace *space, const uint8_t *lie, int32_t removed) {
    const nexus_history before = *history;
    memset(history, 0, sizeof *history);
    for (int32_t back = before.count; back >= 1; back--) {
        const int32_t at = index_of(&before, back);
        if (lie[at]) continue;
        const nexus_run run = run_at(&before, at);
        if (space != NULL) replay(history, space, run);
        else nexus_push(history, query_of(run), milliseconds_of(run));
    }
    if (space == NULL) keep_judgement(history, &before);
    history->samples = before.samples - removed;
}

int32_t nexus_strike_out(nexus_history *history, nexus_workspace *space, uint16_t worker, float proportion,
                         nexus_run *struck) {
    if (history->samples < RUNS_MIN || worker == 0 || !witnessed(history, worker)) return -1;
    const int32_t limit = (int32_t)(proportion * 1024.0f);
    uint8_t lie[NEXUS_RUNS] = {0};
    int32_t removed = 0;
    for (int32_t at = 0; at < history->count; at++) {
        if (history->worker[at] != worker) continue;
        const nexus_run run = run_at(history, at);
        lie[at] = judged(history, space, query_of(run), run.time, limit, NULL, 0) == NEXUS_DOUBTFUL;
        if (lie[at]) struck[removed++] = run;
    }
    if (removed == 0) return 0;
    const int whole = history->samples == history->count || removed > history->count / 4;
    rebuild(history, whole ? space : NULL, lie, removed);
    return removed;
}

int32_t nexus_forget(nexus_history *history, const nexus_run *lies, ptrdiff_t lie_count) {
    uint8_t lie[NEXUS_RUNS] = {0};
    int32_t removed = 0;
    for (int32_t at = 0; at < history->count; at++) {
        for (ptrdiff_t index = 0; index < lie_count && !lie[at]; index++)
            lie[at] = history->worker[at] == lies[index].worker && history->time[at] == lies[index].time &&
                      history->size[at] == lies[index].size;
        removed += lie[at];
    }
    if (removed > 0) rebuild(history, NULL, lie, removed);
    return removed;
}

int nexus_remembers(const nexus_history *history, uint16_t worker) {
    for (int32_t run = 0; run < history->count; run++)
        if (history->worker[run] == worker) return 1;
    return 0;
}
