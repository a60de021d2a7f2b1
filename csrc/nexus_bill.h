/* Why a worker was chosen: the terms of the score of a few rows, and what kept all others out.
 *
 * A bill is little-endian bytes: version (1), rows, columns (16 bit: which of NEXUS_BILL_COLUMNS are there; the highest
 * bit: the last row was not open to the task), then four
 * float32 (wait weight, ms per unit of load, ms for moving the payload, margin of a near tie), then for each column
 * that is not 0 throughout one float32 a row. The weighted sum of a row's columns is its total, which is the score to
 * the bit where the row is open. Source: placement.md, fact 3; docs/decisions/0034. */
#ifndef NEXUS_BILL_H
#define NEXUS_BILL_H

#include <stddef.h>
#include <stdint.h>

#define NEXUS_BILL_VERSION 1
#define NEXUS_BILL_ROWS_MAX 17
#define NEXUS_BILL_HEAD_BYTES 20
#define NEXUS_BILL_LAST_CLOSED 15 /* bit */
enum {
    NEXUS_BILL_WAIT,      /* before its weight */
    NEXUS_BILL_RUN,       /* mean of the class times the factor of the row */
    NEXUS_BILL_HEALTH,    /* bias of the row */
    NEXUS_BILL_AFFINITY,  /* terms of the row below 0 */
    NEXUS_BILL_AVOIDED,   /* terms of the row above 0 */
    NEXUS_BILL_LOAD,      /* in flight / slots; a ratio */
    NEXUS_BILL_PREFERRED, /* base_ms: preferred labels */
    NEXUS_BILL_FIT,       /* extra_ms without it */
    NEXUS_BILL_TOTAL,
    NEXUS_BILL_COLUMNS
};
#define NEXUS_BILL_BYTES_MAX (NEXUS_BILL_HEAD_BYTES + 4 * NEXUS_BILL_COLUMNS * NEXUS_BILL_ROWS_MAX)

/* The columns and the question of a pass of nexus_score; `base_ms` is the part of extra_ms that is not fit. */
typedef struct {
    const float *wait_ms, *factor, *bias_ms, *load; /* (rows,) */
    const int32_t *class_index;                     /* (rows,) */
    const float *class_ms;                          /* (classes,), or NULL: run_ms for all */
    const float *extra_ms, *base_ms;                /* (rows,) or NULL */
    const int32_t *term_rows;                       /* (terms,) */
    const float *terms_ms;                          /* (terms,), in the order in which they were added */
    ptrdiff_t terms;
    float run_ms, wait_weight, balance_ms, transfer_ms, margin_ms;
} nexus_bill_question;

/* Writes the bill of `count` rows, at most NEXUS_BILL_ROWS_MAX, the first of them the chosen one; the last one may be closed to
 * the task. Gives its length in bytes. `promised_ms` takes the least wait + run of the others that are open, +inf if
 * there are none. */
ptrdiff_t nexus_bill(const nexus_bill_question *question, const int32_t *rows, ptrdiff_t count, int last_closed,
                     unsigned char *bill, float *promised_ms);

/* Up to `wanted` open rows of least score besides `chosen`, by score, then by row; gives how many. Reads the block
 * minima, and the scores of blocks that may hold one. */
ptrdiff_t nexus_runners_up(const float *restrict scores, const float *restrict minima, ptrdiff_t blocks,
                           ptrdiff_t chosen, ptrdiff_t wanted, int32_t *restrict rows);

/* Where round robin would send the task: the first accepting row at or behind `from`, cyclic, that extra_ms (or NULL)
 * does not forbid, whatever it holds already. -1 if there is none. */
ptrdiff_t nexus_in_turn(const uint8_t *accepting, const float *extra_ms, ptrdiff_t rows, ptrdiff_t from);

/* What a row is to a task, in the order of precedence but for `open`. */
enum {
    NEXUS_FUNNEL_NOBODY,
    NEXUS_FUNNEL_OPEN,
    NEXUS_FUNNEL_TAINTS,
    NEXUS_FUNNEL_LABELS,
    NEXUS_FUNNEL_RESOURCES,
    NEXUS_FUNNEL_DRAINING,
    NEXUS_FUNNEL_CORDONED,
    NEXUS_FUNNEL_BROKEN,
    NEXUS_FUNNEL_SUSPECT,
    NEXUS_FUNNEL_BUSY,
    NEXUS_FUNNEL_OVERRIDES,
    NEXUS_FUNNEL_COUNTS
};

/* Counts `rows` rows, whole blocks, by what they are to a task. `standing` is 0 for nobody, 1 for accepting, then
 * draining, cordoned, broken, suspect; `forbidden` is 0, 1 for taints, 2 for labels or 9 for overrides, or NULL.
 * Standing comes before resources. */
void nexus_funnel(const uint8_t *restrict standing, const uint8_t *restrict forbidden, const float *restrict closed_ms,
                  const float *restrict extra_ms, ptrdiff_t rows, int32_t *restrict counts);

/* What of a funnel changes from decision to decision: accepting rows that lack resources, and open ones. */
typedef struct {
    int32_t lacking, open;
} nexus_left;

/* Counts them among the rows that are not forbidden. Reads three columns, or with `extra_ms` four. */
nexus_left nexus_left_open(const uint8_t *restrict standing, const uint8_t *restrict forbidden,
                           const float *restrict closed_ms, const float *restrict extra_ms, ptrdiff_t rows);

#endif
