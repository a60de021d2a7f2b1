#include "nexus_density.h"

#include <string.h>

#include "nexus_dispatch.h"
#include "nexus_logarithm.h"

#define LANES NEXUS_LANES

_Static_assert(NEXUS_STRIPES == 4, "quantise() adds four stripes");

static const double FADE[NEXUS_AGES] = {0.998, 0.99, 0.85, 0.9};
static const double AGE_FLOOR = 1e-6;    /* old runs count a little: no weight is denormal, and never are all zero */
static const float WEIGHT_FLOOR = 1e-4f; /* of the size kernel: far sizes count a little */

#define BIN_SHIFT 5     /* from steps of 1/1024 to bins of 1/32 octave; half as wide gained nothing and cost 60 ns */
#define BAND_BINS 23    /* whole bins in log2(1.25 / 0.75) = 0.737; no less than a vector */
#define PLATEAU_SHIFT 6 /* bands within 1/64 of the best count as equal */
static const float BAND_ABOVE = 0.41503749927884376f; /* log2(1 / 0.75): the centre is this far below the upper edge */
static const float BAND_SHARE_ABOVE = 0.6037f;        /* 0.415 octaves of 22 bins: equal runs predict themselves */

typedef struct {
    ptrdiff_t from, to; /* runs of the ring; whole vectors */
} range;

void nexus_prepare(nexus_workspace *space) {
    memset(space, 0, sizeof *space);
    for (ptrdiff_t table = 0; table < NEXUS_AGES; table++) {
        /* The run at index j of a full ring has age (head - 1 - j) mod NEXUS_RUNS: one descending ramp, repeated. */
        double weight = 1.0;
        for (ptrdiff_t age = 0; age < NEXUS_RUNS; age++) {
            const float kept = (float)(weight > AGE_FLOOR ? weight : AGE_FLOOR);
            space->full[table][NEXUS_RUNS - 1 - age] = kept;
            space->full[table][2 * NEXUS_RUNS - 1 - age] = kept;
            space->growing[table][NEXUS_RUNS - 1 - age] = kept;
            weight *= FADE[table];
        }
    }
}

static int16_t to_step(double octaves) {
    const double step = octaves * 1024.0;
    if (step >= 31.9 * 1024.0) return (int16_t)(31.9 * 1024.0);
    if (step <= -31.9 * 1024.0) return (int16_t)(-31.9 * 1024.0);
    return (int16_t)(step >= 0.0 ? step + 0.5 : step - 0.5);
}

int16_t nexus_time_step(double run_ms) { return to_step(nexus_log2(run_ms > 1e-9 ? run_ms : 1e-9)); }

int16_t nexus_size_step(double payload_bytes) { return to_step(nexus_log2(1.0 + payload_bytes)); }

int32_t nexus_bin_of(int32_t time_step) { return (time_step + 32768) >> BIN_SHIFT; }

/* Weight of every run for a query: 1 / (1 + (distance / bandwidth)^2), times what another class, another worker and
 * age leave of it. One pass, no branch. Runs behind the count weigh nothing: `age` is zero there. */
NEXUS_CLONES
static void weigh(const nexus_history *restrict history, const float *restrict age, nexus_query query,
                  const nexus_alikeness *restrict expert, range runs, float *restrict weight,
                  nexus_tally *restrict all) {
    const float per_step = expert->per_step, other_class = expert->other_class;
    const float same_worker = expert->same_worker, other_worker = expert->other_worker;
    for (ptrdiff_t run = runs.from; run < runs.to; run += LANES) {
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            const float distance = (float)(history->size[run + lane] - query.size) * per_step;
            float value = 1.0f / (1.0f + distance * distance) + WEIGHT_FLOOR;
            value *= history->worker_class[run + lane] == query.worker_class ? 1.0f : other_class;
            value *= history->worker[run + lane] == query.worker ? same_worker : other_worker;
            value *= age[run + lane];
            weight[run + lane] = value;
            all->sum[lane] += value;
            all->squares[lane] += value * value;
        }
    }
}

/* The same without a size: no division. */
NEXUS_CLONES
static void weigh_unsized(const nexus_history *restrict history, const float *restrict age, nexus_query query,
                          const nexus_alikeness *restrict expert, range runs, float *restrict weight,
                  nexus_tally *restrict all) {
    const float other_class = expert->other_class;
    const float same_worker = expert->same_worker, other_worker = expert->other_worker;
    for (ptrdiff_t run = runs.from; run < runs.to; run += LANES) {
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            float value = history->worker_class[run + lane] == query.worker_class ? 1.0f : other_class;
            value *= history->worker[run + lane] == query.worker ? same_worker : other_worker;
            value *= age[run + lane];
            weight[run + lane] = value;
            all->sum[lane] += value;
            all->squares[lane] += value * value;
        }
    }
}

/* Weights of every run for a question that names no worker: if it is of the asked class, and if it is not. Products
 * in the order of weigh(). */
NEXUS_CLONES
static void weigh_classes(const nexus_history *restrict history, const float *restrict age, int32_t size,
                          const nexus_alikeness *restrict expert, range runs, float *restrict own,
                          float *restrict other) {
    const float per_step = expert->per_step, other_class = expert->other_class, same_worker = expert->same_worker;
    for (ptrdiff_t run = runs.from; run < runs.to; run++) {
        const float distance = (float)(history->size[run] - size) * per_step;
        const float value = 1.0f / (1.0f + distance * distance) + WEIGHT_FLOOR;
        own[run] = value * same_worker * age[run];
        other[run] = value * other_class * same_worker * age[run];
    }
}

/* The same without a size. */
NEXUS_CLONES
static void weigh_classes_unsized(const float *restrict age, const nexus_alikeness *restrict expert, range runs,
                                  float *restrict own, float *restrict other) {
    const float other_class = expert->other_class, same_worker = expert->same_worker;
    for (ptrdiff_t run = runs.from; run < runs.to; run++) {
        own[run] = same_worker * age[run];
        other[run] = other_class * same_worker * age[run];
    }
}

/* Weight of every run for one class. */
NEXUS_CLONES
static void choose(const uint16_t *restrict worker_class, uint16_t asked, const float *restrict own,
                   const float *restrict other, range runs, float *restrict weight) {
    for (ptrdiff_t run = runs.from; run < runs.to; run++)
        weight[run] = worker_class[run] == asked ? own[run] : other[run];
}

static void join(nexus_span *over, int32_t low, int32_t high) {
    over->low = low < over->low ? low : over->low;
    over->high = high > over->high ? high : over->high;
}

/* Histogram bin of every run, and the lowest and highest of them. */
NEXUS_CLONES
static void place(const nexus_history *restrict history, range runs, uint16_t *restrict bin,
                  nexus_span *restrict over) {
    int16_t low = INT16_MAX, high = INT16_MIN;
    for (ptrdiff_t run = runs.from; run < runs.to; run++) {
        const int16_t time = history->time[run];
        low = time < low ? time : low;
        high = time > high ? time : high;
        bin[run] = (uint16_t)((uint16_t)(time ^ INT16_MIN) >> BIN_SHIFT);
    }
    join(over, (low + 32768) >> BIN_SHIFT, (high + 32768) >> BIN_SHIFT);
}

/* The same after moving every run by `slope` (in 1/1024) to the asked size. */
NEXUS_CLONES
static void place_sloped(const nexus_history *restrict history, range runs, int32_t size, int32_t slope,
                         uint16_t *restrict bin, nexus_span *restrict over) {
    int32_t low = NEXUS_BINS - 1, high = 0;
    for (ptrdiff_t run = runs.from; run < runs.to; run++) {
        int32_t moved = (history->time[run] + ((slope * (size - history->size[run])) >> 10) + 32768) >> BIN_SHIFT;
        moved = moved < 0 ? 0 : moved;
        moved = moved > NEXUS_BINS - 1 ? NEXUS_BINS - 1 : moved;
        low = moved < low ? moved : low;
        high = moved > high ? moved : high;
        bin[run] = (uint16_t)moved;
    }
    join(over, low, high);
}

/* The same along the affine law. */
NEXUS_CLONES
static void place_affine(const nexus_history *restrict history, range runs, int32_t size, nexus_affine law,
                         uint16_t *restrict bin, nexus_span *restrict over) {
    const int32_t asked = nexus_affine_step(law, size);
    int32_t low = NEXUS_BINS - 1, high = 0;
    for (ptrdiff_t run = runs.from; run < runs.to; run++) {
        const int32_t off = asked - nexus_affine_step(law, history->size[run]);
        int32_t moved = (history->time[run] + off + 32768) >> BIN_SHIFT;
        moved = moved < 0 ? 0 : moved;
        moved = moved > NEXUS_BINS - 1 ? NEXUS_BINS - 1 : moved;
        low = moved < low ? moved : low;
        high = moved > high ? moved : high;
        bin[run] = (uint16_t)moved;
    }
    join(over, low, high);
}

/* Weights by age, as of `unseen` runs ago. The runs since then must be masked by the caller. */
static const float *ages_of(const nexus_history *history, const nexus_workspace *space, int32_t table, int32_t unseen) {
    if (history->count < NEXUS_RUNS) return space->growing[table] + NEXUS_RUNS - (history->count - unseen);
    const int32_t head = history->head - unseen;
    return space->full[table] + NEXUS_RUNS - (head < 0 ? head + NEXUS_RUNS : head);
}

/* The runs to look at: all, or the newest `newest` and what fills their vectors. */
static int ranges_of(const nexus_history *history, int32_t newest, range runs[2]) {
    const ptrdiff_t end = (history->count + LANES - 1) / LANES * LANES;
    runs[0] = (range){0, end};
    if (newest <= 0 || end <= newest) return 1;
    const ptrdiff_t to = (history->head + LANES - 1) / LANES * LANES; /* behind the newest run */
    runs[0] = (range){to > newest ? to - newest : 0, to};
    runs[1] = (range){end - (newest - to), end};
    return to < newest ? 2 : 1;
}

static float octave_of(float bin) { return bin * (1.0f / 32.0f) - 32.0f; }

/* Adds the stripes of the histogram up into integers below 2^18 and clears them. Integers: a difference of two of
 * their sums is exact, so a band may be looked up instead of summed. */
NEXUS_CLONES
static void quantise(nexus_workspace *restrict space, nexus_span over) {
    const ptrdiff_t bins = over.high - over.low + 1;
    float *restrict first = space->histogram[0] + over.low, *restrict second = space->histogram[1] + over.low;
    float *restrict third = space->histogram[2] + over.low, *restrict fourth = space->histogram[3] + over.low;
    int32_t *restrict below = space->below + BAND_BINS;
    int32_t most = 0; /* numbers that are not negative compare like their bits */
    for (ptrdiff_t bin = 0; bin < bins; bin++) {
        const float sum = (first[bin] + second[bin]) + (third[bin] + fourth[bin]);
        int32_t bits;
        memcpy(&bits, &sum, sizeof bits);
        most = bits > most ? bits : most;
        first[bin] = sum;
        second[bin] = third[bin] = fourth[bin] = 0.0f;
    }
    float largest;
    memcpy(&largest, &most, sizeof largest);
    const float scale = largest > 1e-30f ? 262144.0f / largest : 0.0f;
    for (ptrdiff_t bin = 0; bin < bins; bin++) {
        below[bin] = (int32_t)(first[bin] * scale);
        first[bin] = 0.0f;
    }
}

/* Cumulative sums, with BAND_BINS zeros before the first bin and the total behind the last. */
static void accumulate(nexus_workspace *space, nexus_span over) {
    const ptrdiff_t bins = over.high - over.low + 1;
    int32_t *below = space->below + BAND_BINS;
    int32_t sum = 0;
    for (ptrdiff_t bin = 0; bin < bins; bin++) below[bin] = sum += below[bin];
    for (ptrdiff_t bin = bins; bin < bins + BAND_BINS; bin++) below[bin] = sum;
}

/* What the band that ends at each bin holds, and the most of it. */
NEXUS_CLONES
static int32_t hold(const int32_t *restrict below, ptrdiff_t bands, int32_t *restrict held) {
    int32_t best = 0;
    for (ptrdiff_t band = 0; band < bands; band++) {
        const int32_t value = below[band + BAND_BINS] - below[band];
        held[band] = value;
        best = value > best ? value : best;
    }
    return best;
}

/* Of equal bands the value that divides them as a value divides its band, so that runs that are all alike predict
 * themselves. */
static float densest(nexus_workspace *space, nexus_span over) {
    const ptrdiff_t bands = over.high - over.low + BAND_BINS;
    const int32_t best = hold(space->below, bands, space->held);
    const int32_t enough = best - (best >> PLATEAU_SHIFT);
    ptrdiff_t first = 0;
    while (space->held[first] < enough) first++;
    ptrdiff_t last = first;
    while (last + 1 < bands && space->held[last + 1] >= enough) last++;
    return octave_of((float)(over.low + first) + BAND_SHARE_ABOVE * (float)(last - first) + 0.5f) - BAND_ABOVE;
}

float nexus_centre(nexus_workspace *space, nexus_span over, const nexus_alikeness *how) {
    return how->averaged ? over.average : densest(space, over);
}

/* Four runs at a time, a stripe each: written out it takes three fifths. */
static void scatter(const nexus_history *history, nexus_workspace *space, range runs) {
    const ptrdiff_t to = runs.to < history->count ? runs.to : history->count;
    const uint16_t *bin = space->bin;
    const float *weight = space->weight;
    ptrdiff_t run = runs.from; /* whole vectors, so the first stripe's */
    for (; run + NEXUS_STRIPES <= to; run += NEXUS_STRIPES) {
        space->histogram[0][bin[run]] += weight[run];
        space->histogram[1][bin[run + 1]] += weight[run + 1];
        space->histogram[2][bin[run + 2]] += weight[run + 2];
        space->histogram[3][bin[run + 3]] += weight[run + 3];
    }
    for (ptrdiff_t stripe = 0; run < to; run++, stripe++) space->histogram[stripe][bin[run]] += weight[run];
}

/* Bins of the runs that are looked at. */
static void place_each(const nexus_history *history, nexus_workspace *space, range runs, int32_t size, int32_t law,
                       nexus_span *over) {
    if (runs.to > history->count) runs.to = history->count;
    if (law == 1) place_sloped(history, runs, size, nexus_slope(history), space->bin, over);
    else if (law == 2) place_affine(history, runs, size, nexus_affine_of(history), space->bin, over);
    else place(history, runs, space->bin, over);
}

/* Adds up the weights of runs, and their times by weight, by lane. */
NEXUS_CLONES
static void add_up(const nexus_history *restrict history, range runs, const float *restrict weight,
                   float *restrict sum, float *restrict moment) {
    for (ptrdiff_t run = runs.from; run < runs.to; run += LANES) {
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            sum[lane] += weight[run + lane];
            moment[lane] += weight[run + lane] * (float)history->time[run + lane];
        }
    }
}

/* Weighted mean of the times and the hint, in log2(ms). */
static float average(const nexus_history *history, const nexus_workspace *space, nexus_query query, const range *runs,
                     int parts) {
    float sum[LANES] = {0.0f}, moment[LANES] = {0.0f};
    for (int part = 0; part < parts; part++) add_up(history, runs[part], space->weight, sum, moment);
    float whole = query.hint_weight, times = query.hint_weight * query.hint * 1024.0f;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) {
        whole += sum[lane];
        times += moment[lane];
    }
    return whole > 0.0f ? times / whole * (1.0f / 1024.0f) : 0.0f;
}

/* The newest `unseen` runs before `head` weigh nothing. */
static void mask(float *weight, int32_t head, int32_t unseen) {
    const int32_t here = unseen < head ? unseen : head;
    memset(weight + head - here, 0, (size_t)here * sizeof *weight);
    memset(weight + NEXUS_RUNS - (unseen - here), 0, (size_t)(unseen - here) * sizeof *weight);
}

/* Puts the weighed runs and the hint into a cumulative histogram. */
static nexus_span gather(const nexus_history *history, nexus_workspace *space, nexus_query query,
                         const nexus_alikeness *how, const range *runs, int parts, int32_t unseen, nexus_span over) {
    mask(space->weight, history->head, unseen);
    if (how->averaged) over.average = average(history, space, query, runs, parts);
    for (int part = 0; part < parts; part++) scatter(history, space, runs[part]);
    if (query.hint_weight > 0.0f) {
        const int32_t bin = nexus_bin_of(to_step((double)query.hint));
        space->histogram[0][bin] += query.hint_weight;
        join(&over, bin, bin);
    }
    if (over.low > over.high) return over;
    quantise(space, over);
    accumulate(space, over);
    return over;
}

nexus_span nexus_spread(const nexus_history *history, nexus_workspace *space, nexus_query query,
                        const nexus_alikeness *how, nexus_scope scope, nexus_tally *all) {
    nexus_span over = {NEXUS_BINS - 1, 0, 0.0f};
    memset(all, 0, sizeof *all);
    range runs[2];
    const int parts = history->count > 0 ? ranges_of(history, scope.newest, runs) : 0;
    const float *age = ages_of(history, space, how->ages, scope.unseen);
    nexus_alikeness asked = *how; /* where the question names no worker or class, no run is another's */
    if (query.worker == 0) asked.other_worker = asked.same_worker;
    if (query.worker_class == 0) asked.other_class = 1.0f;
    for (int part = 0; part < parts; part++) {
        if (how->per_step > 0.0f) weigh(history, age, query, &asked, runs[part], space->weight, all);
        else weigh_unsized(history, age, query, &asked, runs[part], space->weight, all);
        place_each(history, space, runs[part], query.size, how->law, &over);
    }
    return gather(history, space, query, how, runs, parts, scope.unseen, over);
}

nexus_span nexus_share(const nexus_history *history, nexus_workspace *space, nexus_query query,
                       const nexus_alikeness *how, nexus_scope scope) {
    nexus_span over = {NEXUS_BINS - 1, 0, 0.0f};
    range runs[2];
    const int parts = history->count > 0 ? ranges_of(history, scope.newest, runs) : 0;
    const float *age = ages_of(history, space, how->ages, scope.unseen);
    for (int part = 0; part < parts; part++) {
        if (how->per_step > 0.0f) weigh_classes(history, age, query.size, how, runs[part], space->own, space->other);
        else weigh_classes_unsized(age, how, runs[part], space->own, space->other);
        place_each(history, space, runs[part], query.size, how->law, &over);
    }
    return over;
}

nexus_span nexus_spread_class(const nexus_history *history, nexus_workspace *space, nexus_query query,
                              const nexus_alikeness *how, nexus_scope scope, nexus_span over) {
    range runs[2];
    const int parts = history->count > 0 ? ranges_of(history, scope.newest, runs) : 0;
    const float *other = query.worker_class == 0 ? space->own : space->other;
    for (int part = 0; part < parts; part++)
        choose(history->worker_class, query.worker_class, space->own, other, runs[part], space->weight);
    return gather(history, space, query, how, runs, parts, scope.unseen, over);
}

NEXUS_CLONES
int nexus_has_class(const nexus_history *history, uint16_t worker_class) {
    int32_t found = 0;
    for (ptrdiff_t run = 0; run < history->count; run++) found |= history->worker_class[run] == worker_class;
    return found;
}

nexus_span nexus_span_of(const nexus_history *history, nexus_workspace *space, int32_t size) {
    nexus_span over = {NEXUS_BINS - 1, 0, 0.0f};
    place_sloped(history, (range){0, history->count}, size, nexus_slope(history), space->bin, &over);
    return over;
}

int32_t nexus_total(const nexus_workspace *space, nexus_span over) {
    return space->below[BAND_BINS + over.high - over.low];
}

/* How many cumulative sums are less than this. Counted, not searched: a search waits for every step of it. */
NEXUS_CLONES
static ptrdiff_t rank_of(const int32_t *restrict below, ptrdiff_t bins, float wanted) {
    const ptrdiff_t whole = (bins + LANES - 1) / LANES * LANES; /* behind the last bin is the total: never less */
    int32_t rank = 0;
    for (ptrdiff_t bin = 0; bin < whole; bin++) rank += (float)below[bin] < wanted;
    return rank;
}

float nexus_quantile(const nexus_workspace *space, nexus_span over, float share) {
    const float wanted = share * (float)nexus_total(space, over);
    const int32_t *below = space->below + BAND_BINS;
    const ptrdiff_t bin = rank_of(below, over.high - over.low + 1, wanted);
    const float start = (float)below[bin - 1], inside = (float)below[bin] - start;
    const float part = inside > 0.0f ? (wanted - start) / inside : 0.5f;
    return octave_of((float)(over.low + bin) + (part < 1.0f ? part : 1.0f));
}
