/* log2 and exp2 of our own: the same bits on every machine, because nothing but IEEE add, multiply and divide is
 * used, in a fixed order, and no libm. Error at most 2 ulp over the ranges below (tests/unit/kernel).
 */
#ifndef NEXUS_LOGARITHM_H
#define NEXUS_LOGARITHM_H

#include <stddef.h>

/* log2 of a positive, normal, finite number. */
double nexus_log2(double value);

/* 2 to the power of `exponent`, which must be within [-1000, 1000]. */
double nexus_exp2(double exponent);

/* The same for many: independent of each other, so they overlap. */
void nexus_exp2_each(const float *exponent, double *power, ptrdiff_t count);

#endif
