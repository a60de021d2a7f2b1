"""One input that the engine cannot handle is found, put aside and told; everything else goes on."""

from __future__ import annotations

import pytest

from nexus_sched.errors import InvalidInput
from nexus_sched.model.events import EpochBegan, TaskRefused
from nexus_sched.model.outcome import Reason
from nexus_sched.model.settings import EngineSettings
from nexus_sched.runtime.guard import CAREFUL_TURNS, EngineFault, Guard
from nexus_sched.testing.builders import Bench, finished, joined, reclaimed, submitted


class Poisoned:
    """An engine that cannot stand one task."""

    def handle(self, events, at_ns):
        if any(getattr(getattr(event, "task", event), "id", "") == "poison" for event in events):
            raise ZeroDivisionError("broken on purpose")
        if any(getattr(event, "task_id", "") == "poison" and not isinstance(event, TaskRefused) for event in events):
            raise ZeroDivisionError("broken on purpose")
        return []


def test_healthy_engine_is_let_through():
    guard, bench = Guard(), Bench()
    effects = guard.handle(bench.engine, [joined(), submitted("t1")], 0)
    assert len(effects) == 1
    assert (guard.careful, guard.faults) == (False, 0)


def test_first_fault_makes_careful_and_blames_nobody():
    guard = Guard()
    events = [submitted("t1"), submitted("poison")]
    with pytest.raises(EngineFault, match="ZeroDivisionError: broken on purpose"):
        guard.handle(Poisoned(), events, 0)
    assert guard.careful
    assert guard.screen(events) == events


@pytest.mark.parametrize(
    ("poison", "stream", "entry", "task_id"),
    [
        (submitted("poison", "7-0"), "q:5", "7-0", "poison"),
        (reclaimed("poison", entry="8-0"), "q:r", "8-0", "poison"),
        (finished("poison"), "", "", ""),
    ],
)
def test_second_fault_blames_the_event_in_hand(poison, stream: str, entry: str, task_id: str):
    guard = Guard()
    for _ in range(2):
        with pytest.raises(EngineFault):
            guard.handle(Poisoned(), [poison], 0)
    other = submitted("t1")
    refused, same = guard.screen([poison, other])
    assert same is other
    assert refused == TaskRefused(stream, entry, task_id, Reason.ENGINE_ERROR, refused.detail)
    assert type(poison).__name__ in refused.detail
    assert guard.handle(Poisoned(), [refused, other], 0) == []


def test_care_ends_after_enough_healthy_turns_and_the_quarantine_does_not():
    guard = Guard()
    poison = submitted("poison")
    for _ in range(2):
        with pytest.raises(EngineFault):
            guard.handle(Poisoned(), [poison], 0)
    for _ in range(CAREFUL_TURNS):
        assert guard.careful
        guard.handle(Poisoned(), [], 0)
    assert not guard.careful
    assert isinstance(guard.screen([poison])[0], TaskRefused)


def test_fault_without_any_input_is_not_retried_for_ever():
    class Broken:
        def handle(self, events, at_ns):
            raise ZeroDivisionError

    guard = Guard()
    with pytest.raises(EngineFault):
        guard.handle(Broken(), [], 0)
    with pytest.raises(ZeroDivisionError):
        guard.handle(Broken(), [], 0)


def test_configuration_that_the_engine_refuses_is_told_as_what_it_is():
    guard = Guard()
    began = [EpochBegan(1, "me", EngineSettings(predictor="oracle"))]
    with pytest.raises(EngineFault, match="oracle"):
        guard.handle(Bench().engine, began, 0)
    with pytest.raises(InvalidInput, match="oracle"):
        guard.handle(Bench().engine, began, 0)
