#include "nexus_record.h"

#include "nexus_bytes.h"
#include "nexus_law.h"

#define COUNTS_BYTES 20 /* name, count, head, samples */
#define MOMENTS_BYTES 40
#define RATE_BYTES 8
#define STATE_BYTES 24 /* widening, CUSUM; drifts, turn, alert */
#define RUN_BYTES 8
#define EXPERTS_V1 7
#define DOUBTED_V1 UINT16_MAX /* class of runs that nobody believed, and that moved no law; now they wait elsewhere */

static int32_t experts_of(uint32_t version) { return version == 1 ? EXPERTS_V1 : NEXUS_EXPERTS; }

ptrdiff_t nexus_scalar_bytes(uint32_t version) {
    if (version < 1 || version > NEXUS_RECORD_VERSION) return 0;
    const ptrdiff_t moments = version == 1 ? MOMENTS_BYTES : 2 * MOMENTS_BYTES;
    return COUNTS_BYTES + moments + RATE_BYTES * experts_of(version) + STATE_BYTES;
}

ptrdiff_t nexus_record_bytes(const nexus_history *history, uint32_t name_bytes) {
    return nexus_scalar_bytes(NEXUS_RECORD_VERSION) + (ptrdiff_t)name_bytes + RUN_BYTES * (ptrdiff_t)history->count;
}

/* Where the moments are, in the order of the layout: those of the power law, then those of the affine law. */
#define MOMENTS(history)                                                                                       \
    {                                                                                                          \
        &(history)->weight, &(history)->mean_size, &(history)->mean_time, &(history)->size_size,               \
            &(history)->size_time, &(history)->affine_weight, &(history)->affine_size, &(history)->affine_time, \
            &(history)->affine_size_size, &(history)->affine_size_time                                         \
    }

void nexus_write_record(const nexus_history *history, uint32_t name_bytes, unsigned char *at) {
    const double *const moments[10] = MOMENTS(history);
    nexus_put_u32(at, name_bytes);
    nexus_put_u32(at + 4, (uint32_t)history->count);
    nexus_put_u32(at + 8, (uint32_t)history->head);
    nexus_put_u64(at + 12, (uint64_t)history->samples);
    at += COUNTS_BYTES;
    for (ptrdiff_t index = 0; index < 10; index++, at += 8) nexus_put_f64(at, *moments[index]);
    for (ptrdiff_t expert = 0; expert < NEXUS_EXPERTS; expert++, at += RATE_BYTES) {
        nexus_put_f32(at, history->hits[expert]);
        nexus_put_f32(at + 4, history->trials[expert]);
    }
    nexus_put_f32(at, history->widening);
    nexus_put_f32(at + 4, history->rise);
    nexus_put_f32(at + 8, history->fall);
    nexus_put_u32(at + 12, (uint32_t)history->drifts);
    nexus_put_u32(at + 16, (uint32_t)history->turn);
    nexus_put_u32(at + 20, (uint32_t)history->alert);
    at += STATE_BYTES + name_bytes;
    for (ptrdiff_t run = 0; run < history->count; run++, at += RUN_BYTES) {
        nexus_put_u32(at, (uint16_t)history->size[run] | (uint32_t)(uint16_t)history->time[run] << 16);
        nexus_put_u32(at + 4, history->worker_class[run] | (uint32_t)history->worker[run] << 16);
    }
}

ptrdiff_t nexus_measure_record(const unsigned char *at, ptrdiff_t left, uint32_t version, uint32_t *name_bytes) {
    const ptrdiff_t scalars = nexus_scalar_bytes(version);
    if (scalars == 0 || left < scalars) return -1;
    const uint32_t count = nexus_get_u32(at + 4), head = nexus_get_u32(at + 8);
    *name_bytes = nexus_get_u32(at);
    if (count > NEXUS_RUNS || head >= NEXUS_RUNS || (count < NEXUS_RUNS && head != count)) return -1;
    const ptrdiff_t size = scalars + (ptrdiff_t)*name_bytes + RUN_BYTES * (ptrdiff_t)count;
    return size <= left ? size : -1;
}

static int within(double least, double value, double most) { return least <= value && value <= most; } /* NaN is not */

static int plausible(const nexus_history *history) {
    int whole = history->count <= history->samples && history->samples < (int64_t)1 << 53;
    whole &= history->turn >= 0 && history->turn < NEXUS_EXPERTS && history->drifts >= 0;
    whole &= history->alert >= 0 && history->alert <= NEXUS_RUNS;
    for (ptrdiff_t expert = 0; expert < NEXUS_EXPERTS; expert++) {
        const double hits = (double)history->hits[expert], trials = (double)history->trials[expert];
        whole &= within(0.0, hits, trials) && within(0.0, trials, 100.0);
    }
    whole &= within(0.0, history->weight, 1e3) && within(-64.0, history->mean_size, 64.0);
    whole &= within(-64.0, history->mean_time, 64.0) && within(0.0, history->size_size, 1e9);
    whole &= within(-1e9, history->size_time, 1e9) && within(0.0, history->affine_weight, 1e25);
    whole &= within(0.0, history->affine_size, 1e10) && within(0.0, history->affine_time, 1e10);
    whole &= within(0.0, history->affine_size_size, 1e45) && within(-1e45, history->affine_size_time, 1e45);
    whole &= within(-10.0, (double)history->widening, 10.0) && within(0.0, (double)history->rise, 1e3);
    return whole && within(0.0, (double)history->fall, 1e3);
}

/* What version 1 did not keep. */
static void catch_up(nexus_history *history) {
    for (int32_t back = history->count; back > 0; back--) {
        const int32_t run = history->head >= back ? history->head - back : history->head - back + NEXUS_RUNS;
        if (history->worker_class[run] != DOUBTED_V1)
            nexus_take_affine(history, history->size[run], history->time[run]);
    }
}

int nexus_read_record(nexus_history *history, const unsigned char *at, uint32_t version) {
    double *const moments[10] = MOMENTS(history);
    const uint32_t name_bytes = nexus_get_u32(at);
    memset(history, 0, sizeof *history);
    history->count = (int32_t)nexus_get_u32(at + 4);
    history->head = (int32_t)nexus_get_u32(at + 8);
    history->samples = (int64_t)nexus_get_u64(at + 12);
    at += COUNTS_BYTES;
    for (ptrdiff_t index = 0; index < (version == 1 ? 5 : 10); index++, at += 8) *moments[index] = nexus_get_f64(at);
    for (int32_t expert = 0; expert < experts_of(version); expert++, at += RATE_BYTES) {
        history->hits[expert] = nexus_get_f32(at);
        history->trials[expert] = nexus_get_f32(at + 4);
    }
    history->widening = nexus_get_f32(at);
    history->rise = nexus_get_f32(at + 4);
    history->fall = nexus_get_f32(at + 8);
    history->drifts = (int32_t)nexus_get_u32(at + 12);
    history->turn = (int32_t)nexus_get_u32(at + 16);
    history->alert = (int32_t)nexus_get_u32(at + 20);
    if (!plausible(history)) return -1;
    at += STATE_BYTES + name_bytes;
    for (ptrdiff_t run = 0; run < history->count; run++, at += RUN_BYTES) {
        const uint32_t first = nexus_get_u32(at), second = nexus_get_u32(at + 4);
        history->size[run] = (int16_t)(first & 0xffffu);
        history->time[run] = (int16_t)(first >> 16);
        history->worker_class[run] = (uint16_t)(second & 0xffffu);
        history->worker[run] = (uint16_t)(second >> 16);
    }
    if (version == 1) catch_up(history);
    return 0;
}
