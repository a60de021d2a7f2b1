"""Plain Python twins of the bill and the funnel (`nexus_sched._kernel.bill`): slow, obvious, equal bit for bit.

Law: nothing here is shared with the kernel, neither code nor constants; numbers are rounded as in `oracle`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

from nexus_sched.testing.oracle import Question, float32_of, runs, scores

Columns = Mapping[str, Sequence[float]]


def bill(
    columns: Columns,
    question: Question,
    chosen: int,
    top: int,
    transfer_ms: float,
    base_ms: Sequence[float] | None,
    accepting: Sequence[bool],
    turn: int,
) -> tuple[bytes, list[int], int]:
    """The bytes of the bill, its rows, and the row of round robin (-1 if there is none)."""
    row_scores = _reached(columns, question)
    others = [row for row in range(len(row_scores)) if row != chosen and row_scores[row] < math.inf]
    others.sort(key=lambda row: (row_scores[row], row))
    rows = [chosen, *others[: top - 1]]
    in_turn = round_robin(accepting, question.extra_ms, turn)
    if in_turn >= 0 and in_turn not in rows:
        rows.append(in_turn)
    return _written(columns, question, rows, transfer_ms, base_ms, _margin_ms(columns, question)), rows, in_turn


def _reached(columns: Columns, question: Question) -> list[float]:
    """Scores, +inf for what waits longer than the question allows."""
    wait_max_ms = float32_of(question.wait_max_ms)
    pairs = zip(scores(columns, question), columns["wait_ms"], strict=True)
    return [score if wait_ms <= wait_max_ms else math.inf for score, wait_ms in pairs]


def round_robin(accepting: Sequence[bool], extra_ms: Sequence[float] | None, turn: int) -> int:
    """The first row at or behind `turn`, cyclic, that accepts and is not forbidden; -1 if there is none."""
    count = len(accepting)
    for step in range(count):
        row = (turn + step) % count
        if accepting[row] and (extra_ms is None or extra_ms[row] < math.inf):
            return row
    return -1


def _margin_ms(columns: Columns, question: Question) -> float:
    row_scores = _reached(columns, question)
    run_ms = runs(columns, question)[row_scores.index(min(row_scores))]
    share_ms = float32_of(float32_of(question.near_tie_share) * run_ms)
    return max(share_ms, float32_of(question.near_tie_ms))


def _written(
    columns: Columns,
    question: Question,
    rows: Sequence[int],
    transfer_ms: float,
    base_ms: Sequence[float] | None,
    margin_ms: float,
) -> bytes:
    opened = {**columns, "closed": [0.0] * len(columns["closed"])}
    totals, run_ms = scores(opened, question), runs(columns, question)
    table = [[*_terms(columns, question, row, run_ms[row], base_ms), totals[row]] for row in rows]
    there = [index for index in range(9) if any(line[index] != 0.0 for line in table)]
    last_closed = _reached(columns, question)[rows[-1]] == math.inf
    head = struct.pack("<BBH", 1, len(rows), sum(1 << index for index in there) | last_closed << 15)
    head += struct.pack("<4f", question.wait_weight, question.balance_ms, transfer_ms, margin_ms)
    return head + b"".join(struct.pack(f"<{len(rows)}f", *(line[index] for line in table)) for index in there)


def _terms(
    columns: Columns, question: Question, row: int, run_ms: float, base_ms: Sequence[float] | None
) -> list[float]:
    for_it = against_it = 0.0
    for at, term_ms in question.terms:
        if at == row and term_ms < 0.0:
            for_it = float32_of(for_it + float32_of(term_ms))
        elif at == row:
            against_it = float32_of(against_it + float32_of(term_ms))
    preferred_ms = 0.0 if base_ms is None else base_ms[row]
    fit_ms = 0.0 if question.extra_ms is None else float32_of(question.extra_ms[row] - preferred_ms)
    known = [columns["wait_ms"][row], run_ms, columns["bias_ms"][row], for_it, against_it, columns["load"][row]]
    return [*known, preferred_ms, fit_ms]


def funnel(
    closed_ms: Sequence[float],
    standing: Sequence[int],
    forbidden: Sequence[int] | None,
    extra_ms: Sequence[float] | None,
) -> tuple[int, ...]:
    """All workers, the open ones, and the others: taints, labels, resources, four standings, no credit, overrides."""
    counts = [0] * 11
    for row, closed in enumerate(closed_ms):
        if not standing[row]:
            continue
        counts[0] += 1
        if forbidden is not None and forbidden[row]:
            counts[1 + forbidden[row]] += 1
        elif standing[row] > 1:
            counts[3 + standing[row]] += 1
        elif extra_ms is not None and extra_ms[row] == math.inf:
            counts[4] += 1
        else:
            counts[9 if closed else 1] += 1
    return tuple(counts)
