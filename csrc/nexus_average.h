/* Warm-started exponential moving average and decayed variance (West 1979, with a floor under the step).
 *
 * n += 1; a = max(alpha, 1 / n); d = x - mean; mean += a * d; variance = (1 - a) * (variance + a * d * d).
 * float64, this order of operations, no call into libm.
 */
#ifndef NEXUS_AVERAGE_H
#define NEXUS_AVERAGE_H

#include <stddef.h>
#include <stdint.h>

/* Takes `value` into row `row` of the three columns. */
void nexus_average_learn(double *restrict mean, double *restrict variance, int64_t *restrict samples, ptrdiff_t row,
                         double alpha, double value);

#endif
