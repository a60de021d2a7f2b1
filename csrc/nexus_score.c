#include "nexus_score.h"

#include "nexus_dispatch.h"

#include <math.h>

/* Accumulators side by side: as many as the widest vector has lanes, so that the order of comparisons, and with it
 * the result, is the same for every instruction set. */
#define LANES 16

static inline float lesser(float left, float right) { return right < left ? right : left; }

static inline float least_of_lanes(float *lanes) {
    for (ptrdiff_t width = LANES / 2; width > 0; width /= 2)
        for (ptrdiff_t lane = 0; lane < width; lane++) lanes[lane] = lesser(lanes[lane], lanes[lane + width]);
    return lanes[0];
}

NEXUS_CLONES
float nexus_score(const float *restrict wait_ms, const float *restrict factor, const float *restrict bias_ms,
                  const float *restrict closed_ms, ptrdiff_t blocks, float run_ms, float wait_weight,
                  float *restrict scores, float *restrict minima) {
    float least = INFINITY;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        float lanes[LANES];
        for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[lane] = INFINITY;
        for (ptrdiff_t first = block * NEXUS_BLOCK_ROWS; first < (block + 1) * NEXUS_BLOCK_ROWS; first += LANES)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                const ptrdiff_t row = first + lane;
                const float score =
                    ((wait_weight * wait_ms[row] + run_ms * factor[row]) + bias_ms[row]) + closed_ms[row];
                scores[row] = score;
                lanes[lane] = lesser(lanes[lane], score);
            }
        minima[block] = least_of_lanes(lanes);
        least = lesser(least, minima[block]);
    }
    return least;
}

NEXUS_CLONES
static float least_load(const float *restrict scores, const float *restrict minima, const float *restrict load,
                        ptrdiff_t blocks, float threshold) {
    float lanes[LANES];
    for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[lane] = INFINITY;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        if (minima[block] > threshold) continue;
        for (ptrdiff_t first = block * NEXUS_BLOCK_ROWS; first < (block + 1) * NEXUS_BLOCK_ROWS; first += LANES)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                const float candidate = scores[first + lane] <= threshold ? load[first + lane] : INFINITY;
                lanes[lane] = lesser(lanes[lane], candidate);
            }
    }
    return least_of_lanes(lanes);
}

/* First row in [from, until) with score <= threshold and this load, -1 if there is none. */
static ptrdiff_t first_match(const float *restrict scores, const float *restrict minima, const float *restrict load,
                             ptrdiff_t from, ptrdiff_t until, float threshold, float wanted_load) {
    ptrdiff_t row = from;
    while (row < until) {
        const ptrdiff_t block = row / NEXUS_BLOCK_ROWS;
        const ptrdiff_t block_end = (block + 1) * NEXUS_BLOCK_ROWS;
        const ptrdiff_t end = block_end < until ? block_end : until;
        if (minima[block] <= threshold)
            for (; row < end; row++)
                if (scores[row] <= threshold && load[row] == wanted_load) return row;
        row = end;
    }
    return -1;
}

ptrdiff_t nexus_select(const float *restrict scores, const float *restrict minima, const float *restrict load,
                       ptrdiff_t rows, ptrdiff_t rotation, float threshold) {
    const ptrdiff_t blocks = (rows + NEXUS_BLOCK_ROWS - 1) / NEXUS_BLOCK_ROWS;
    const float wanted_load = least_load(scores, minima, load, blocks, threshold);
    const ptrdiff_t behind = first_match(scores, minima, load, rotation, rows, threshold, wanted_load);
    if (behind >= 0) return behind;
    return first_match(scores, minima, load, 0, rotation, threshold, wanted_load);
}
