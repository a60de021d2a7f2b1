#include "nexus_witness.h"

#include "nexus_density.h"

#define VOTERS 5         /* other workers heard about a run that is out of proportion */
#define VOTERS_MIN 2     /* one word against another convicts nobody */
#define WITNESSES_MIN 16 /* runs of a type before it testifies against anybody */
static const float BEYOND = 3.0f; /* log2: where runs differ that much anyway, a lie is this far beyond most of them */
static const float LOW = 0.1f, HIGH = 0.95f; /* quantiles between which most of them lie */

/* The power law over all sizes, whoever leads: a size must not pass for a lie, nor a lie for a size. The accused
 * worker's own runs weigh nothing. */
static const nexus_alikeness OTHERS = {0.0f, 0.02f, 0.0f, 0.05f, 0, 1};

/* Whether the newest runs of most of the last VOTERS other workers, moved to the same size, are out of proportion to
 * this one. -1: too few. */
static int outvoted(const nexus_history *history, nexus_query query, int32_t step, int32_t proportion) {
    const int32_t slope = nexus_slope(history);
    uint16_t heard[VOTERS];
    int32_t voters = 0, against = 0;
    for (int32_t back = 1; back <= history->count && voters < VOTERS; back++) {
        const int32_t run = history->head >= back ? history->head - back : history->head - back + NEXUS_RUNS;
        const uint16_t worker = history->worker[run];
        int known = worker == query.worker || worker == 0;
        for (int32_t voter = 0; voter < voters; voter++) known |= heard[voter] == worker;
        if (known) continue;
        const int32_t off = history->time[run] + ((slope * (query.size - history->size[run])) >> 10) - step;
        heard[voters++] = worker;
        against += off > proportion || off < -proportion;
    }
    return voters < VOTERS_MIN ? -1 : 2 * against > voters;
}

int nexus_disproportionate(const nexus_history *history, nexus_workspace *space, nexus_query query, double run_ms,
                           float proportion) {
    if (history->samples < WITNESSES_MIN || query.worker == 0) return 0;
    const int32_t step = nexus_time_step(run_ms), limit = (int32_t)(proportion * 1024.0f);
    nexus_span over = nexus_span_of(history, space, query.size);
    const int32_t bin = nexus_bin_of(step), bins = nexus_bin_of(limit) - nexus_bin_of(0);
    if (bin - over.low <= bins && over.high - bin <= bins) return 0; /* within proportion of every run: as usual */
    if (outvoted(history, query, step, limit) <= 0) return 0;
    nexus_tally all;
    query.hint_weight = 0.0f;
    over = nexus_spread(history, space, query, &OTHERS, (nexus_scope){0, 0}, &all);
    if (nexus_total(space, over) == 0) return 0;
    const float octave = (float)step * (1.0f / 1024.0f), middle = nexus_quantile(space, over, 0.5f);
    const float low = nexus_quantile(space, over, LOW), high = nexus_quantile(space, over, HIGH);
    const float least = low - BEYOND < middle - proportion ? low - BEYOND : middle - proportion;
    const float most = high + BEYOND > middle + proportion ? high + BEYOND : middle + proportion;
    return octave < least || octave > most;
}
