#include "nexus_bill.h"

#include "nexus_bytes.h"
#include "nexus_dispatch.h"
#include "nexus_score.h"

#include <math.h>

#define LANES NEXUS_LANES
#define FLUSH_ROWS (255 * LANES) /* what a counter of eight bits can count in each lane */

/* The terms of one row, and their sum in the order of nexus_score. */
static void bill_row(const nexus_bill_question *question, ptrdiff_t row, float *columns) {
    const float mean_ms = question->class_ms == NULL ? question->run_ms : question->class_ms[question->class_index[row]];
    const float run_ms = mean_ms * question->factor[row];
    float bias_ms = question->bias_ms[row];
    columns[NEXUS_BILL_WAIT] = question->wait_ms[row];
    columns[NEXUS_BILL_RUN] = run_ms;
    columns[NEXUS_BILL_HEALTH] = bias_ms;
    columns[NEXUS_BILL_AFFINITY] = columns[NEXUS_BILL_AVOIDED] = 0.0F;
    for (ptrdiff_t term = 0; term < question->terms; term++)
        if (question->term_rows[term] == row) {
            bias_ms += question->terms_ms[term];
            columns[question->terms_ms[term] < 0.0F ? NEXUS_BILL_AFFINITY : NEXUS_BILL_AVOIDED] += question->terms_ms[term];
        }
    columns[NEXUS_BILL_LOAD] = question->load[row];
    columns[NEXUS_BILL_PREFERRED] = question->base_ms == NULL ? 0.0F : question->base_ms[row];
    columns[NEXUS_BILL_FIT] = question->extra_ms == NULL ? 0.0F : question->extra_ms[row] - columns[NEXUS_BILL_PREFERRED];
    float total = (question->wait_weight * question->wait_ms[row] + run_ms) + bias_ms;
    if (question->balance_ms != 0.0F) total += question->balance_ms * question->load[row];
    if (question->extra_ms != NULL) total += question->extra_ms[row];
    columns[NEXUS_BILL_TOTAL] = total + 0.0F;
}

ptrdiff_t nexus_bill(const nexus_bill_question *question, const int32_t *rows, ptrdiff_t count, int last_closed,
                     unsigned char *bill, float *promised_ms) {
    float columns[NEXUS_BILL_ROWS_MAX][NEXUS_BILL_COLUMNS];
    uint32_t there = 0;
    *promised_ms = INFINITY;
    for (ptrdiff_t index = 0; index < count; index++) {
        bill_row(question, rows[index], columns[index]);
        const float end_ms = columns[index][NEXUS_BILL_WAIT] + columns[index][NEXUS_BILL_RUN];
        const int is_other = index > 0 && !(last_closed && index == count - 1);
        if (is_other && end_ms < *promised_ms) *promised_ms = end_ms;
        for (int column = 0; column < NEXUS_BILL_COLUMNS; column++)
            there |= (uint32_t)(columns[index][column] != 0.0F) << column;
    }
    const uint32_t bits = there | (uint32_t)(last_closed != 0) << NEXUS_BILL_LAST_CLOSED;
    nexus_put_u32(bill, NEXUS_BILL_VERSION | (uint32_t)count << 8 | bits << 16);
    nexus_put_f32(bill + 4, question->wait_weight);
    nexus_put_f32(bill + 8, question->balance_ms);
    nexus_put_f32(bill + 12, question->transfer_ms);
    nexus_put_f32(bill + 16, question->margin_ms);
    unsigned char *at = bill + NEXUS_BILL_HEAD_BYTES;
    for (int column = 0; column < NEXUS_BILL_COLUMNS; column++)
        if (there >> column & 1)
            for (ptrdiff_t index = 0; index < count; index++, at += 4) nexus_put_f32(at, columns[index][column]);
    return at - bill;
}

/* Whether any lane is below the limit. */
static inline int any_below(const float *lanes, float limit) {
    int below = 0;
    for (ptrdiff_t lane = 0; lane < LANES; lane++) below |= lanes[lane] < limit;
    return below;
}

NEXUS_CLONES
ptrdiff_t nexus_runners_up(const float *restrict scores, const float *restrict minima, ptrdiff_t blocks,
                           ptrdiff_t chosen, ptrdiff_t wanted, int32_t *restrict rows) {
    float found[NEXUS_BILL_ROWS_MAX]; /* scores of `rows`, ascending */
    ptrdiff_t count = 0;
    float limit = wanted > 0 ? INFINITY : -INFINITY;
    for (ptrdiff_t block = 0; block < blocks; block++) {
        if (!any_below(minima + block * LANES, limit)) continue;
        for (ptrdiff_t chunk = block * NEXUS_BLOCK_ROWS; chunk < (block + 1) * NEXUS_BLOCK_ROWS; chunk += LANES) {
            if (!any_below(scores + chunk, limit)) continue;
            for (ptrdiff_t row = chunk; row < chunk + LANES; row++) {
                if (scores[row] >= limit || row == chosen) continue;
                ptrdiff_t at = count < wanted ? count++ : wanted - 1;
                for (; at > 0 && found[at - 1] > scores[row]; at--) {
                    found[at] = found[at - 1];
                    rows[at] = rows[at - 1];
                }
                found[at] = scores[row];
                rows[at] = (int32_t)row;
                if (count == wanted) limit = found[wanted - 1];
            }
        }
    }
    return count;
}

ptrdiff_t nexus_in_turn(const uint8_t *accepting, const float *extra_ms, ptrdiff_t rows, ptrdiff_t from) {
    for (ptrdiff_t step = 0; step < rows; step++) {
        const ptrdiff_t row = from + step < rows ? from + step : from + step - rows;
        if (accepting[row] && (extra_ms == NULL || extra_ms[row] < INFINITY)) return row;
    }
    return -1;
}

/* `masked` and `priced` are constants where this is called: whether there is something in `forbidden`, in `extra_ms`. */
static inline __attribute__((always_inline)) nexus_left
left_of(const uint8_t *restrict standing, const uint8_t *restrict forbidden, const float *restrict closed_ms,
        const float *restrict extra_ms, ptrdiff_t rows, int masked, int priced) {
    int32_t lacking = 0, open = 0;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const int meant = masked ? forbidden[row] == 0 : 1;
        const int lacks = priced ? extra_ms[row] == INFINITY : 0;
        lacking += meant & (standing[row] == 1) & lacks;
        open += meant & (closed_ms[row] == 0.0F) & !lacks;
    }
    return (nexus_left){lacking, open};
}

NEXUS_CLONES
nexus_left nexus_left_open(const uint8_t *restrict standing, const uint8_t *restrict forbidden,
                           const float *restrict closed_ms, const float *restrict extra_ms, ptrdiff_t rows) {
    if (forbidden == NULL) return left_of(standing, forbidden, closed_ms, extra_ms, rows, 0, extra_ms != NULL);
    if (extra_ms == NULL) return left_of(standing, forbidden, closed_ms, extra_ms, rows, 1, 0);
    return left_of(standing, forbidden, closed_ms, extra_ms, rows, 1, 1);
}

NEXUS_CLONES
void nexus_funnel(const uint8_t *restrict standing, const uint8_t *restrict forbidden, const float *restrict closed_ms,
                  const float *restrict extra_ms, ptrdiff_t rows, int32_t *restrict counts) {
    for (int kind = 0; kind < NEXUS_FUNNEL_COUNTS; kind++) counts[kind] = 0;
    for (ptrdiff_t start = 0; start < rows; start += FLUSH_ROWS) {
        uint8_t lanes[NEXUS_FUNNEL_COUNTS][LANES] = {{0}};
        const ptrdiff_t end = start + FLUSH_ROWS < rows ? start + FLUSH_ROWS : rows;
        for (ptrdiff_t first = start; first < end; first += LANES) {
            uint8_t kinds[LANES];
            for (ptrdiff_t lane = 0; lane < LANES; lane++) {
                const ptrdiff_t row = first + lane;
                uint8_t kind = closed_ms[row] > 0.0F ? NEXUS_FUNNEL_BUSY : NEXUS_FUNNEL_OPEN;
                if (extra_ms != NULL) kind = extra_ms[row] == INFINITY ? NEXUS_FUNNEL_RESOURCES : kind;
                kind = standing[row] > 1 ? (uint8_t)(standing[row] + NEXUS_FUNNEL_DRAINING - 2) : kind;
                if (forbidden != NULL)
                    kind = forbidden[row] > 0 ? (uint8_t)(forbidden[row] + NEXUS_FUNNEL_TAINTS - 1) : kind;
                kinds[lane] = standing[row] == 0 ? NEXUS_FUNNEL_NOBODY : kind;
            }
            for (int kind = 0; kind < NEXUS_FUNNEL_COUNTS; kind++)
                for (ptrdiff_t lane = 0; lane < LANES; lane++) lanes[kind][lane] += kinds[lane] == kind;
        }
        for (int kind = 0; kind < NEXUS_FUNNEL_COUNTS; kind++)
            for (ptrdiff_t lane = 0; lane < LANES; lane++) counts[kind] += lanes[kind][lane];
    }
}
