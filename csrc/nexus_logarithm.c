#include "nexus_logarithm.h"

#include <stdint.h>
#include <string.h>

static double without_low_half(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= UINT64_C(0xffffffff00000000);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value = m * 2^e with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f), |s| < 0.1716. From the series of atanh,
 * ln(1 + f) = f - f^2/2 + s * (f^2/2 + R), R = 2/3 s^2 + 2/5 s^4 + ... to s^18; what is left out is below 2^-56 of it.
 * The sum and 1 / ln 2 are taken in a high and a low part (Dekker), so that rounding stays below an ulp. */
double nexus_log2(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint64_t shifted = bits - UINT64_C(0x3fe6a09e667f3bcd); /* sqrt(1/2) becomes the lower edge */
    const int64_t whole = (int64_t)shifted >> 52;
    bits -= (uint64_t)whole << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double exponent = (double)whole;
    const double f = m - 1.0;
    const double s = f / (2.0 + f);
    const double t = s * s;
    double series = 2.0 / 19.0;
    series = series * t + 2.0 / 17.0;
    series = series * t + 2.0 / 15.0;
    series = series * t + 2.0 / 13.0;
    series = series * t + 2.0 / 11.0;
    series = series * t + 2.0 / 9.0;
    series = series * t + 2.0 / 7.0;
    series = series * t + 2.0 / 5.0;
    series = series * t + 2.0 / 3.0;
    series = series * t;
    const double half_square = 0.5 * f * f;
    const double high = without_low_half(f - half_square);
    const double low = (f - high) - half_square + s * (half_square + series);
    const double inverse_high = 1.4426950407214463; /* 1 / ln 2, the low half of its bits cleared */
    const double inverse_low = 1.6751713164886512e-10;
    const double product = high * inverse_high;
    const double sum = exponent + product;
    return ((exponent - sum) + product) + ((low + high) * inverse_low + low * inverse_high) + sum;
}

/* exponent = n + f with |f| <= 1/2; 2^f by the Taylor series of e^(f ln 2) to the 14th power. */
double nexus_exp2(double exponent) {
    const double rounded = exponent + 6755399441055744.0; /* 1.5 * 2^52: the sum is rounded to an integer */
    const double whole = rounded - 6755399441055744.0;
    const double x = (exponent - whole) * 0.6931471805599453;
    double series = 1.0 / 87178291200.0;
    series = series * x + 1.0 / 6227020800.0;
    series = series * x + 1.0 / 479001600.0;
    series = series * x + 1.0 / 39916800.0;
    series = series * x + 1.0 / 3628800.0;
    series = series * x + 1.0 / 362880.0;
    series = series * x + 1.0 / 40320.0;
    series = series * x + 1.0 / 5040.0;
    series = series * x + 1.0 / 720.0;
    series = series * x + 1.0 / 120.0;
    series = series * x + 1.0 / 24.0;
    series = series * x + 1.0 / 6.0;
    series = series * x + 1.0 / 2.0;
    series = series * x + 1.0;
    series = series * x + 1.0;
    const uint64_t bits = (uint64_t)((int64_t)whole + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return series * scale;
}

void nexus_exp2_each(const float *exponent, double *power, ptrdiff_t count) {
    for (ptrdiff_t index = 0; index < count; index++) power[index] = nexus_exp2((double)exponent[index]);
}
