"""The words for a decision: each kind of reason has its sentence, and other weights are told of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nexus_sched.model.bill import FUNNEL, Bill, BillRow, Weights, reweighed
from nexus_sched.model.explanation import (
    DecisionStory,
    actual_of,
    best_other,
    funnel_text,
    sentence_of,
)
from nexus_sched.units import amount_text, span_text


def row(worker: str, wait_ms: float = 0.0, run_ms: float = 100.0, **terms: float) -> BillRow:
    plain = BillRow(worker, wait_ms, run_ms, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    changed = replace(plain, **terms)
    return replace(changed, total_ms=changed.total_by(Weights(2.0)))


def story(*rows: BillRow, margin_ms: float = 2.0, **changes: object) -> DecisionStory:
    plain = DecisionStory(
        seq=7,
        index=0,
        epoch=1,
        at_ms=1_000,
        worker=rows[0].worker if rows else "w1",
        attempt=1,
        policy="predictive",
        waited_ms=0.0,
        p50_ms=100.0,
        p80_ms=120.0,
        basis="type",
        confidence=0.9,
        model="learned",
        version=1,
        explored=False,
        settings="00ff",
        funnel={},
        round_robin="",
        bill=Bill(Weights(2.0), margin_ms, rows) if rows else None,
    )
    return replace(plain, **changes)


def test_first_to_finish_says_by_how_much():
    told = sentence_of(story(row("w1", 3_100.0, 41_800.0), row("w2", 0.0, 60_000.0), p80_ms=52_000.0))
    assert told == (
        "placed on w1 because it is expected to finish first: 3.1 s wait + 41.8 s run (p80 52.0 s), "
        "15.1 s sooner than the next best"
    )


def test_only_open_worker_is_said_to_be_that_whatever_round_robin_would_have_done():
    told = sentence_of(story(row("w1"), replace(row("w2", 900.0), is_open=False)))
    assert told == "placed on w1, the only worker that was open to it: no wait + 100 ms run (p80 120 ms)"


@pytest.mark.parametrize(
    ("loads", "explored", "words"),
    [
        ((0.0, 0.5), False, "one other worker was as good to within 2.0 ms, and this one was the least busy"),
        ((0.5, 0.5), False, "one other worker was as good to within 2.0 ms, and it was this one's turn"),
        ((0.0, 0.5), True, "as good to within 2.0 ms, exploring, and"),
    ],
)
def test_near_tie_says_what_decided(loads: tuple[float, float], explored: bool, words: str):
    rows = [replace(row(f"w{number}"), load=load) for number, load in enumerate(loads)]
    assert words in sentence_of(story(*rows, explored=explored))


@pytest.mark.parametrize(
    ("chosen", "other", "words"),
    [
        ({"affinity_ms": -80.0}, {}, "because tasks of its affinity key ran there (worth 80 ms), although w2 would"),
        ({}, {"health_ms": 70.0}, "because runs fail on w2 (worth 70 ms)"),
        ({"preferred_ms": -90.0}, {}, "because the task would rather have its labels (worth 90 ms)"),
        ({}, {"fit_ms": 60.0}, "because its resources fit better (worth 60 ms)"),
        ({}, {"avoided_ms": 1e9}, "because it came back from w2"),
    ],
)
def test_what_made_up_for_a_later_end_is_named(chosen: dict[str, float], other: dict[str, float], words: str):
    told = sentence_of(story(row("w1", 0.0, 150.0, **chosen), row("w2", 0.0, 100.0, **other)))
    assert words in told
    assert "w2 would finish 50 ms sooner" in told


def test_weight_of_waiting_can_make_up_for_a_later_end():
    told = sentence_of(story(row("w1", 0.0, 150.0), row("w2", 40.0, 100.0)))
    assert "because waiting counts more than running, although w2 would finish 10 ms sooner" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "round-robin", "p50_ms": None}, "placed on w1 by round-robin: there was no prediction to go by"),
        ({"policy": "round-robin"}, "placed on w1 by round-robin: predictions are made, but do not decide"),
        ({}, "placed on w1 by prediction; what it was compared with was not recorded"),
    ],
)
def test_decision_without_a_bill_has_a_sentence(changes: dict[str, object], words: str):
    assert sentence_of(story(**changes)) == words


def test_regret_is_against_the_best_open_worker_that_was_not_chosen():
    here = story(row("w1"), row("w2", 50.0), row("w3", 20.0), replace(row("w4", 1.0), is_open=False))
    other = best_other(here.bill)
    assert other is not None
    assert other.worker == "w3"
    actual = actual_of(here, "succeeded", 140.0, 1_150)
    assert (actual.response_ms, actual.regret_ms, actual.alternative) == (150.0, 30.0, "w3")
    alone = actual_of(story(row("w1")), "succeeded", 140.0, 1_150)
    assert (alone.regret_ms, alone.alternative) == (None, "")


def test_funnel_reads_from_all_to_few():
    counts = dict(zip(FUNNEL, (1000, 214, 0, 601, 151, 20, 0, 9, 0, 5, 0), strict=True))
    assert funnel_text(counts) == (
        "1000 workers -> 214 open to it: 601 lack a label, 151 lack resources, 20 draining, 9 breaker open, 5 full"
    )
    assert funnel_text({"workers": 1, "open": 1}) == "1 worker -> 1 open to it"
    assert funnel_text({}) == ""


def test_other_weights_keep_the_rule_of_near_ties():
    bill = Bill(Weights(2.0), 10.0, (row("w1", 0.0, 150.0), row("w2", 40.0, 100.0), row("w3", 45.0, 100.0)))
    assert [each.worker for each in reweighed(bill, bill.weights).rows] == ["w1", "w2", "w3"]
    idle = replace(bill, rows=(bill.rows[0], replace(bill.rows[1], load=0.5), bill.rows[2]))
    other = reweighed(idle, Weights(wait=0.5))
    assert [each.worker for each in other.rows] == ["w3", "w2", "w1"]
    assert [each.total_ms for each in other.rows] == [122.5, 120.0, 150.0]


@pytest.mark.parametrize(
    ("span_ms", "words"),
    [
        (0.0, "0.0 ms"),
        (9.94, "9.9 ms"),
        (12.0, "12 ms"),
        (3_140.0, "3.1 s"),
        (240_000.0, "4.0 min"),
        (9e6, "2.5 h"),
        (-1_500.0, "-1.5 s"),
    ],
)
def test_spans_are_told_in_the_unit_that_fits(span_ms: float, words: str):
    assert span_text(span_ms) == words


@pytest.mark.parametrize(
    ("amount", "words"), [(2.0, "2"), (0.5, "0.5"), (512.0 * 2**20, "512 MiB"), (1.5 * 2**30, "1.5 GiB")]
)
def test_large_amounts_are_told_as_bytes(amount: float, words: str):
    assert amount_text(amount) == words
