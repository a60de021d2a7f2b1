/* How the time of a type depends on the size of the payload, by decayed moments: a power law and an affine law.
 *
 * The power law is a line in logarithms. The affine law, time = fixed + per_byte * (1 + bytes), is fitted with
 * relative weights 1 / time^2, so that a quarter too much is as wrong for a short run as for a long one; neither part
 * is negative, and a run that took no time at all weighs four times as much as a usual one, no more. Both are Welford moments, which cannot wind up when sizes stop varying. Source: prediction.md, facts 3
 * and 6.
 */
#ifndef NEXUS_LAW_H
#define NEXUS_LAW_H

#include "nexus_history.h"

#include <string.h>

typedef struct {
    float fixed;    /* ms */
    float per_byte; /* ms; 0, or not so small that it is no normal number */
} nexus_affine;

/* Takes one run into the moments of both laws. */
void nexus_take_moments(nexus_history *history, int16_t size, int16_t time);

/* The same for the affine law alone: for histories that were kept without it. */
void nexus_take_affine(nexus_history *history, int16_t size, int16_t time);

/* Exponent of the type's power law of size, in 1/1024. */
int32_t nexus_slope(const nexus_history *history);

nexus_affine nexus_affine_of(const nexus_history *history);

/* 2^(step / 1024), to 0.03 %: a cubic that is exact at whole octaves. */
static inline float nexus_raised(int32_t step) {
    const float part = (float)(step & 1023) * (1.0f / 1024.0f);
    const uint32_t bits = (uint32_t)((step >> 10) + 127) << 23;
    float whole;
    memcpy(&whole, &bits, sizeof whole);
    return whole * (1.0f + part + part * (part - 1.0f) * (0.30410988f + 0.07924493f * part));
}

/* log2 of what the affine law says for a size, in steps of 1/1024, to one step. */
static inline int32_t nexus_affine_step(nexus_affine law, int32_t size) {
    const float value = law.fixed + law.per_byte * nexus_raised(size);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int32_t whole = (int32_t)(bits >> 23) - 127;
    bits = (bits & 0x7fffffu) | 0x3f800000u;
    float part;
    memcpy(&part, &bits, sizeof part);
    part -= 1.0f;
    part += part * (part - 1.0f) * (0.15922014f * part - 0.42286534f);
    return whole * 1024 + (int32_t)(part * 1024.0f);
}

#endif
