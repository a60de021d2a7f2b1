/* Why it looks as it does: gcc turns `for lane < LANES` loops over local arrays into vector registers, and vector
 * minima without -ffast-math, as long as the accumulators are fixed lanes. 32 lanes are two AVX-512 registers (enough
 * to hide the latency of one minimum) and too many for the compiler to unroll away before it vectorises: 16 lanes
 * were five times slower in a neighbouring shape of the same loop. Measured in docs/decisions/0002. */
#include "nexus_score.h"

#include "nexus_dispatch.h"

#include <math.h>
#include <string.h>

#define LANES NEXUS_LANES

/* What a question has beside wait, run and bias. */
#define NEXUS_BALANCE 1
#define NEXUS_EXTRA 2

static inline float lesser(float left, float right) { return right < left ? right : left; }

static inline float least_of_lanes(float *lanes) {
    for (ptrdiff_t width = LANES / 2; width > 0; width /= 2)
        for (ptrdiff_t lane = 0; lane < width; lane++) lanes[lane] = lesser(lanes[lane], lanes[lane + width]);
    return lanes[0];
}

static inline void fill_lanes(float *lanes, float value) {
    for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[lane] = value;
}

/* Whether any lane of this block minimum is at or below the limit. */
static inline int reaches(const float *lanes, float limit) {
    int reached = 0;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) reached |= lanes[lane] <= limit;
    return reached;
}

/* Where the means of a pass come from. */
#define NEXUS_UNIFORM 0
#define NEXUS_GATHER 1
#define NEXUS_FEW 2

/* Up to eight classes fit one vector of 32 bytes, from which a processor with AVX2 takes the means of eight rows at once:
 * half as much again as a pass without classes, where loading the mean of each row is five times a pass (gcc emits no
 * gather instruction for x86-64 at large, as it is slow on many). A whole block is filled before it is read: a vector
 * that was just stored in halves cannot be forwarded, and that alone took as long as loading row by row. */
#define FEW_CLASSES 8

#if NEXUS_HAS_CLONES
typedef float few_floats __attribute__((vector_size(32)));
typedef int32_t few_indexes __attribute__((vector_size(32)));

static int can_take_few(void) { return __builtin_cpu_supports("avx2"); }

static inline __attribute__((always_inline)) void take_few(const float *restrict table, const int32_t *restrict indexes, float *restrict means) {
    few_floats from, to;
    memcpy(&from, table, sizeof from);
    for (ptrdiff_t first = 0; first < NEXUS_BLOCK_ROWS; first += FEW_CLASSES) {
        few_indexes which;
        memcpy(&which, indexes + first, sizeof which);
        to = __builtin_shuffle(from, which);
        memcpy(means + first, &to, sizeof to);
    }
}
#else
static int can_take_few(void) { return 0; }

static inline __attribute__((always_inline)) void take_few(const float *restrict table, const int32_t *restrict indexes, float *restrict means) {
    for (ptrdiff_t row = 0; row < NEXUS_BLOCK_ROWS; row++) means[row] = table[indexes[row]];
}
#endif

/* One pass. `classes` and `terms` are constants where this is called, so that each kind of question gets a loop of its
 * own, and what is not asked for costs nothing. */
static inline __attribute__((always_inline)) float
score_pass(const float *restrict wait_ms, const float *restrict factor, const float *restrict bias_ms,
           const float *restrict closed_ms, const float *restrict load, const int32_t *restrict class_index,
           const float *restrict class_ms, ptrdiff_t class_count, const float *restrict extra_ms, ptrdiff_t blocks,
           float run_ms, float wait_weight, float balance_ms, float *restrict scores, float *restrict minima, int classes,
           int terms) {
    float few[FEW_CLASSES] = {0};
    if (classes == NEXUS_FEW) memcpy(few, class_ms, (size_t)class_count * sizeof(float));
    float least[LANES];
    fill_lanes(least, INFINITY);
    for (ptrdiff_t block = 0; block < blocks; block++) {
        float lanes[LANES];
        fill_lanes(lanes, INFINITY);
        float means[NEXUS_BLOCK_ROWS];
        if (classes == NEXUS_FEW) take_few(few, class_index + block * NEXUS_BLOCK_ROWS, means);
        for (ptrdiff_t first = 0; first < NEXUS_BLOCK_ROWS; first += LANES)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                const ptrdiff_t row = block * NEXUS_BLOCK_ROWS + first + lane;
                const float mean_ms = classes == NEXUS_FEW      ? means[first + lane]
                                      : classes == NEXUS_GATHER ? class_ms[class_index[row]]
                                                                : run_ms;
                float score = (wait_weight * wait_ms[row] + mean_ms * factor[row]) + bias_ms[row];
                if (terms & NEXUS_BALANCE) score += balance_ms * load[row];
                if (terms & NEXUS_EXTRA) score += extra_ms[row];
                score += closed_ms[row];
                scores[row] = score;
                lanes[lane] = lesser(lanes[lane], score);
            }
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            minima[block * LANES + lane] = lanes[lane];
            least[lane] = lesser(least[lane], lanes[lane]);
        }
    }
    return least_of_lanes(least);
}

#define PASS(classes, terms)                                                                                           \
    return score_pass(wait_ms, factor, bias_ms, closed_ms, load, class_index, class_ms, class_count, extra_ms, blocks, \
                      run_ms, wait_weight, balance_ms, scores, minima, classes, terms)

#define PASS_WITH(classes)                                                                                             \
    switch (terms) {                                                                                                   \
    case 0:                                                                                                            \
        PASS(classes, 0);                                                                                              \
    case NEXUS_BALANCE:                                                                                                \
        PASS(classes, NEXUS_BALANCE);                                                                                  \
    case NEXUS_EXTRA:                                                                                                  \
        PASS(classes, NEXUS_EXTRA);                                                                                    \
    default:                                                                                                           \
        PASS(classes, NEXUS_BALANCE | NEXUS_EXTRA);                                                                    \
    }

NEXUS_CLONES
float nexus_score(const float *restrict wait_ms, const float *restrict factor, const float *restrict bias_ms,
                  const float *restrict closed_ms, const float *restrict load, const int32_t *restrict class_index,
                  const float *restrict class_ms, ptrdiff_t class_count, const float *restrict extra_ms,
                  ptrdiff_t blocks, float run_ms, float wait_weight, float balance_ms, float *restrict scores,
                  float *restrict minima) {
    const int terms = (balance_ms != 0.0F ? NEXUS_BALANCE : 0) | (extra_ms != NULL ? NEXUS_EXTRA : 0);
    if (class_ms == NULL) PASS_WITH(NEXUS_UNIFORM);
    if (class_count <= FEW_CLASSES && can_take_few()) PASS_WITH(NEXUS_FEW);
    PASS_WITH(NEXUS_GATHER);
}

NEXUS_CLONES
float nexus_within(const float *restrict wait_ms, ptrdiff_t blocks, float wait_max_ms, float *restrict scores,
                   float *restrict minima) {
    float least[LANES];
    fill_lanes(least, INFINITY);
    for (ptrdiff_t block = 0; block < blocks; block++) {
        float lanes[LANES];
        fill_lanes(lanes, INFINITY);
        for (ptrdiff_t first = block * NEXUS_BLOCK_ROWS; first < (block + 1) * NEXUS_BLOCK_ROWS; first += LANES)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                const float former = scores[first + lane];
                const float score = wait_ms[first + lane] <= wait_max_ms ? former : INFINITY;
                scores[first + lane] = score;
                lanes[lane] = lesser(lanes[lane], score);
            }
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            minima[block * LANES + lane] = lanes[lane];
            least[lane] = lesser(least[lane], lanes[lane]);
        }
    }
    return least_of_lanes(least);
}

NEXUS_CLONES
ptrdiff_t nexus_best(const float *restrict scores, const float *restrict minima, ptrdiff_t blocks, float least) {
    for (ptrdiff_t block = 0; block < blocks; block++)
        if (reaches(minima + block * LANES, least))
            for (ptrdiff_t row = block * NEXUS_BLOCK_ROWS; row < (block + 1) * NEXUS_BLOCK_ROWS; row++)
                if (scores[row] <= least) return row;
    return -1;
}

/* Least load among rows with score <= threshold, +inf if there is none; the lanes of each block go to load_minima. */
NEXUS_CLONES
static float least_load(const float *restrict scores, const float *restrict minima, const float *restrict load,
                        ptrdiff_t blocks, float threshold, float *restrict load_minima) {
    float least[LANES];
    fill_lanes(least, INFINITY);
    for (ptrdiff_t block = 0; block < blocks; block++) {
        float lanes[LANES];
        fill_lanes(lanes, INFINITY);
        if (reaches(minima + block * LANES, threshold))
            for (ptrdiff_t first = block * NEXUS_BLOCK_ROWS; first < (block + 1) * NEXUS_BLOCK_ROWS; first += LANES)
                for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                    const float row_load = load[first + lane];
                    const float candidate = scores[first + lane] <= threshold ? row_load : INFINITY;
                    lanes[lane] = lesser(lanes[lane], candidate);
                }
        for (ptrdiff_t lane = 0; lane < LANES; lane++) {
            load_minima[block * LANES + lane] = lanes[lane];
            least[lane] = lesser(least[lane], lanes[lane]);
        }
    }
    return least_of_lanes(least);
}

/* First row in [from, until) with score <= threshold and load <= wanted_load, -1 if there is none. */
NEXUS_CLONES
static ptrdiff_t first_match(const float *restrict scores, const float *restrict load, ptrdiff_t from, ptrdiff_t until,
                             float threshold, float wanted_load, const float *restrict load_minima) {
    ptrdiff_t row = from;
    while (row < until) {
        const ptrdiff_t block = row / NEXUS_BLOCK_ROWS;
        const ptrdiff_t block_end = (block + 1) * NEXUS_BLOCK_ROWS;
        const ptrdiff_t end = block_end < until ? block_end : until;
        if (reaches(load_minima + block * LANES, wanted_load))
            while (row < end) {
                const ptrdiff_t chunk = row / LANES * LANES;
                const ptrdiff_t chunk_end = chunk + LANES < end ? chunk + LANES : end;
                int found = 0;
                for (ptrdiff_t lane = 0; lane < LANES; lane++)
                    found |= (scores[chunk + lane] <= threshold) & (load[chunk + lane] <= wanted_load);
                for (; found && row < chunk_end; row++)
                    if (scores[row] <= threshold && load[row] <= wanted_load) return row;
                row = chunk_end;
            }
        row = end;
    }
    return -1;
}

ptrdiff_t nexus_select(const float *restrict scores, const float *restrict minima, const float *restrict load,
                       ptrdiff_t rows, ptrdiff_t rotation, float threshold, float *restrict load_minima) {
    const ptrdiff_t blocks = (rows + NEXUS_BLOCK_ROWS - 1) / NEXUS_BLOCK_ROWS;
    const float wanted_load = least_load(scores, minima, load, blocks, threshold, load_minima);
    if (wanted_load == INFINITY) return -1;
    const ptrdiff_t behind = first_match(scores, load, rotation, rows, threshold, wanted_load, load_minima);
    if (behind >= 0) return behind;
    return first_match(scores, load, 0, rotation, threshold, wanted_load, load_minima);
}

NEXUS_CLONES
void nexus_demand(const double *restrict free, const double *restrict offered, ptrdiff_t rows, double amount,
                  double rounding, double fit_ms, float *restrict extra_ms) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double left = free[row] - amount;
        const double whole = offered[row] > 0.0 ? offered[row] : 1.0;
        const double over = left > 0.0 ? left / whole : 0.0;
        const int fits = (offered[row] > 0.0) & (left >= -rounding * offered[row]);
        extra_ms[row] = fits ? extra_ms[row] + (float)(fit_ms * over) : INFINITY;
    }
}
