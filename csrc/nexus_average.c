#include "nexus_average.h"

void nexus_average_learn(double *restrict mean, double *restrict variance, int64_t *restrict samples, ptrdiff_t row,
                         double alpha, double value) {
    samples[row] += 1;
    const double equal_share = 1.0 / (double)samples[row];
    const double step = equal_share > alpha ? equal_share : alpha;
    const double surprise = value - mean[row];
    const double move = step * surprise;
    mean[row] = mean[row] + move;
    variance[row] = (1.0 - step) * (variance[row] + move * surprise);
}
