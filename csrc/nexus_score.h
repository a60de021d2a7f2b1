/* Score every row for one task, then pick one. Lower is better; milliseconds; all floats are float32.
 *
 * Columns are padded to whole blocks. The caller keeps every row that is not open (padding included) at
 * closed_ms = +inf and all else finite and bounded, so a closed row scores exactly +inf and an open one is finite.
 */
#ifndef NEXUS_SCORE_H
#define NEXUS_SCORE_H

#include <stddef.h>
#include <stdint.h>

/* Rows a column is padded to, and rows per block minimum. */
#define NEXUS_BLOCK_ROWS 256

/* A block minimum is kept as this many lanes, lane k over the rows k, k + NEXUS_LANES, ... of the block: folding them
 * into one number would cost more than reading them. */
#define NEXUS_LANES 32

/* For `blocks` whole blocks
 *   scores[i] = ((((wait_weight * wait_ms[i] + mean[i] * factor[i]) + bias_ms[i]) + balance_ms * load[i]) + extra_ms[i])
 *               + closed_ms[i]
 * where mean[i] is class_ms[class_index[i]] of `class_count` classes, or run_ms everywhere if class_ms is NULL. Without extra_ms (NULL) and with
 * balance_ms = 0 those terms are not there. An extra of +inf keeps a task from a row. minima (blocks, NEXUS_LANES)
 * takes the least scores of each block. Returns the least score of all, +inf for blocks = 0. Reads the columns that
 * it needs once, writes one. */
float nexus_score(const float *restrict wait_ms, const float *restrict factor, const float *restrict bias_ms,
                  const float *restrict closed_ms, const float *restrict load, const int32_t *restrict class_index,
                  const float *restrict class_ms, ptrdiff_t class_count, const float *restrict extra_ms,
                  ptrdiff_t blocks, float run_ms, float wait_weight, float balance_ms, float *restrict scores,
                  float *restrict minima);

/* Take out the rows with wait_ms > wait_max_ms: their scores become +inf. minima and the answer as of nexus_score. Reads
 * two columns, writes one. */
float nexus_within(const float *restrict wait_ms, ptrdiff_t blocks, float wait_max_ms, float *restrict scores,
                   float *restrict minima);

/* First row with score <= least, -1 if there is none. Reads the minima, and the scores of one block. */
ptrdiff_t nexus_best(const float *restrict scores, const float *restrict minima, ptrdiff_t blocks, float least);

/* Among rows with score <= threshold (finite) those of least load, and of these the first at or behind `rotation`
 * (0 <= rotation < rows), cyclic. -1 if no row is at or below the threshold. `load_minima` is scratch of the shape
 * of `minima`. Reads two columns of the blocks that reach the threshold; the others are skipped. */
ptrdiff_t nexus_select(const float *restrict scores, const float *restrict minima, const float *restrict load,
                       ptrdiff_t rows, ptrdiff_t rotation, float threshold, float *restrict load_minima);

/* Keep a task that asks for `amount` of a resource from rows that have less of it free, or offer none: their extra_ms
 * becomes +inf; to the others fit_ms is added for the share of the offer that would be left over. `rounding` is the
 * share of the offer that may be missing. Reads two columns and extra_ms once, writes extra_ms. */
void nexus_demand(const double *restrict free, const double *restrict offered, ptrdiff_t rows, double amount,
                  double rounding, double fit_ms, float *restrict extra_ms);

#endif
