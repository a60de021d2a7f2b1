/* Times the kernel without Python: each function repeats one pass over the same columns.
 *
 * `read` is the speed of light: it sums the columns that a score pass touches, with the same dispatch, in lanes that
 * hide the latency of an addition. The compiler must not see that the passes are equal, hence the barrier. */
#include "nexus_dispatch.h"
#include "nexus_score.h"

#define READ_LANES 64
#define BARRIER() __asm__ volatile("" ::: "memory")

NEXUS_CLONES
static float read_pass(const float *restrict one, const float *restrict two, const float *restrict three,
                       const float *restrict four, const float *restrict five, ptrdiff_t rows) {
    float lanes[READ_LANES] = {0};
    for (ptrdiff_t first = 0; first < rows; first += READ_LANES)
        for (ptrdiff_t lane = 0; lane < READ_LANES; lane++) {
            const ptrdiff_t row = first + lane;
            lanes[lane] += ((one[row] + two[row]) + (three[row] + four[row])) + five[row];
        }
    for (ptrdiff_t width = READ_LANES / 2; width > 0; width /= 2)
        for (ptrdiff_t lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
    return lanes[0];
}

/* columns: wait, factor, bias, closed, load, scores, minima, load minima; blocks of NEXUS_BLOCK_ROWS rows. */
float repeat_read(float **columns, ptrdiff_t blocks, ptrdiff_t times) {
    float sum = 0;
    for (ptrdiff_t time = 0; time < times; time++) {
        BARRIER();
        sum += read_pass(columns[0], columns[1], columns[2], columns[3], columns[5], blocks * NEXUS_BLOCK_ROWS);
    }
    return sum;
}

float repeat_score(float **columns, ptrdiff_t blocks, ptrdiff_t times) {
    float sum = 0;
    for (ptrdiff_t time = 0; time < times; time++) {
        BARRIER();
        sum += nexus_score(columns[0], columns[1], columns[2], columns[3], columns[4], NULL, NULL, 0, NULL, blocks, 10, 2,
                           0, columns[5], columns[6]);
    }
    return sum;
}

/* With a mean for each worker class, a balance term and an extra column, for which the load serves once more. */
float repeat_score_all(float **columns, ptrdiff_t blocks, ptrdiff_t times, const int32_t *class_index,
                       const float *class_ms, ptrdiff_t class_count) {
    float sum = 0;
    for (ptrdiff_t time = 0; time < times; time++) {
        BARRIER();
        sum += nexus_score(columns[0], columns[1], columns[2], columns[3], columns[4], class_index, class_ms,
                           class_count, columns[4], blocks, 10, 2, 1, columns[5], columns[6]);
    }
    return sum;
}

ptrdiff_t repeat_select(float **columns, ptrdiff_t blocks, ptrdiff_t times, float threshold) {
    const ptrdiff_t rows = blocks * NEXUS_BLOCK_ROWS;
    ptrdiff_t sum = 0;
    for (ptrdiff_t time = 0; time < times; time++) {
        BARRIER();
        sum += nexus_select(columns[5], columns[6], columns[4], rows, 1, threshold, columns[7]);
    }
    return sum;
}
