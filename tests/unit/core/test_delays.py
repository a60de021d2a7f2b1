"""Timers belong to a place in the backlog; back-off doubles, is bounded, and differs between tasks."""

from __future__ import annotations

import pytest

from nexus_sched.core.delays import JITTER, STALE_MIN, Timers, backoff_ms
from nexus_sched.core.records import TaskRecord
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.terms import Terms
from nexus_sched.testing.builders import task

SETTINGS = EngineSettings(backoff_ms=100.0, backoff_ms_max=1_000.0)


def record(task_id: str = "t", *, retries: int = 0, ticket: int = 1, asks: Terms | None = None) -> TaskRecord:
    made = TaskRecord(task(task_id, asks=asks), "q:5", "1-0")
    made.ticket = ticket
    made.remembered().retries = retries
    return made


@pytest.mark.parametrize(("retries", "plain_ms"), [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (99, 1_000)])
def test_backoff_doubles_up_to_its_bound_and_varies_by_a_tenth(retries: int, plain_ms: int):
    found = {backoff_ms(record(f"t{number}", retries=retries), SETTINGS) for number in range(200)}
    assert all(plain_ms * (1.0 - JITTER) - 1 <= each <= plain_ms * (1.0 + JITTER) + 1 for each in found)
    assert max(found) - min(found) > plain_ms * JITTER


def test_backoff_of_a_task_comes_before_the_configured_one():
    assert backoff_ms(record(retries=1, asks=Terms(backoff_ms=0.0)), SETTINGS) == 0


def test_timers_remind_once_in_the_order_of_their_instants():
    timers = Timers()
    some = [record(f"t{number}", ticket=number + 1) for number in range(3)]
    for each, due_ms in zip(some, (30, 10, 20), strict=True):
        timers.add(each, due_ms)
    assert timers.next_ms() == 10
    assert timers.due(9) == []
    assert timers.due(20) == [some[1], some[2]]
    assert timers.next_ms() == 30


def test_timer_of_a_task_that_has_left_its_place_is_stale():
    timers = Timers()
    gone, stays = record("gone", ticket=1), record("stays", ticket=2)
    timers.add(gone, 10)
    timers.add(stays, 20)
    gone.ticket = 3
    assert timers.next_ms() == 20
    assert timers.due(50) == [stays]


def test_stale_timers_do_not_pile_up():
    timers = Timers()
    for number in range(10_000):
        gone = record(ticket=number + 1)
        timers.add(gone, 1_000_000)
        gone.ticket = 0
    assert len(timers._heap) <= STALE_MIN + 1
