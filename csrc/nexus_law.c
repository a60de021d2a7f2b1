#include "nexus_law.h"

static const double MOMENT_KEEP = 0.99;

static const double SLOPE_PRIOR = 1.0, SLOPE_RIDGE = 0.3, SLOPE_MIN = -0.5, SLOPE_MAX = 2.0;

static const double AFFINE_RIDGE = 1e-3; /* of the mean size squared: sizes that vary by 3 % count half */
static const double AFFINE_PART = 1e-6;  /* a part of the law that is less than this of the mean time is none */
static const double LEAST_PART = 0.5;    /* a run weighs as if it took no less than half of what the law says */

nexus_affine nexus_affine_of(const nexus_history *history) {
    const double size = history->affine_size, time = history->affine_time, weight = history->affine_weight;
    if (!(time > 0.0)) return (nexus_affine){1.0f, 0.0f};
    if (!(history->affine_size_time > 0.0)) return (nexus_affine){(float)time, 0.0f};
    const double spread = history->affine_size_size, proportional = weight * size * size;
    double per_byte = history->affine_size_time / (spread + AFFINE_RIDGE * proportional);
    double fixed = time - per_byte * size;
    if (fixed < AFFINE_PART * time) { /* the best line with nothing fixed */
        fixed = 0.0;
        per_byte = (history->affine_size_time + weight * size * time) / (spread + proportional);
    }
    if (per_byte * size < AFFINE_PART * time) return (nexus_affine){(float)time, 0.0f};
    return (nexus_affine){(float)fixed, (float)per_byte};
}

void nexus_take_affine(nexus_history *history, int16_t size, int16_t time) {
    const double x = (double)nexus_raised(size), y = (double)nexus_raised(time);
    const nexus_affine law = nexus_affine_of(history);
    const double told = (double)law.fixed + (double)law.per_byte * x;
    const double least = history->affine_weight > 0.0 ? LEAST_PART * told : 0.0;
    const double counted = y > least ? y : least;
    const double weight = 1.0 / (counted * counted);
    history->affine_weight = MOMENT_KEEP * history->affine_weight + weight;
    const double share = weight / history->affine_weight;
    const double size_off = x - history->affine_size, time_off = y - history->affine_time;
    history->affine_size += share * size_off;
    history->affine_time += share * time_off;
    const double left = weight * size_off;
    history->affine_size_size = MOMENT_KEEP * history->affine_size_size + left * (x - history->affine_size);
    history->affine_size_time = MOMENT_KEEP * history->affine_size_time + left * (y - history->affine_time);
}

void nexus_take_moments(nexus_history *history, int16_t size_step, int16_t time_step) {
    const double size = (double)size_step * (1.0 / 1024.0), time = (double)time_step * (1.0 / 1024.0);
    history->weight = MOMENT_KEEP * history->weight + 1.0;
    const double share = 1.0 / history->weight;
    const double size_off = size - history->mean_size, time_off = time - history->mean_time;
    history->mean_size += share * size_off;
    history->mean_time += share * time_off;
    history->size_size = MOMENT_KEEP * history->size_size + size_off * (size - history->mean_size);
    history->size_time = MOMENT_KEEP * history->size_time + size_off * (time - history->mean_time);
    nexus_take_affine(history, size_step, time_step);
}

int32_t nexus_slope(const nexus_history *history) {
    double slope = (history->size_time + SLOPE_RIDGE * SLOPE_PRIOR) / (history->size_size + SLOPE_RIDGE);
    if (slope < SLOPE_MIN) slope = SLOPE_MIN;
    if (slope > SLOPE_MAX) slope = SLOPE_MAX;
    return (int32_t)(slope * 1024.0);
}
