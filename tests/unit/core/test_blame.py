"""Whether a failure is the worker's or the task type's."""

from __future__ import annotations

import pytest

from nexus_sched.core.blame import TYPES_MAX, WORKERS_MAX, Blame

WINDOW_MS = 30_000


def told(failing: int, succeeding: int) -> Blame:
    blame = Blame()
    for number in range(failing):
        blame.failed("kind", f"bad{number}", 0)
    for number in range(succeeding):
        blame.succeeded("kind", f"good{number}", 0, WINDOW_MS)
    return blame


@pytest.mark.parametrize(
    ("failing", "succeeding", "own"),
    [(1, 0, False), (2, 0, False), (3, 0, True), (3, 1, True), (3, 2, False), (9, 3, True), (8, 8, False)],
)
def test_type_is_to_blame_if_it_fails_nearly_everywhere(failing: int, succeeding: int, own: bool):
    assert told(failing, succeeding).types["kind"].own_fault is own


def test_last_outcome_on_a_worker_counts():
    blame = told(4, 0)
    for number in range(4):
        blame.succeeded("kind", f"bad{number}", 1, WINDOW_MS)
    assert not blame.types["kind"].own_fault


def test_types_do_not_stand_for_each_other():
    blame = told(5, 0)
    assert blame.failed("other", "bad0", 0) is False
    assert blame.failed("kind", "bad0", 0) is True


def test_success_of_a_type_that_never_failed_leaves_no_trace():
    blame = told(1, 0)
    blame.succeeded("other", "w1", 0, WINDOW_MS)
    assert list(blame.types) == ["kind"]


def test_trouble_is_forgotten_after_a_window():
    blame = told(3, 0)
    blame.succeeded("other", "w1", WINDOW_MS, WINDOW_MS)
    assert "kind" in blame.types
    blame.succeeded("other", "w1", WINDOW_MS + 1, WINDOW_MS)
    assert blame.types == {}


def test_memory_is_bounded():
    blame = Blame()
    for number in range(3 * TYPES_MAX):
        blame.failed(f"kind{number}", "w1", 0)
    for number in range(3 * WORKERS_MAX):
        blame.failed("kind", f"w{number}", 0)
    assert len(blame.types) == TYPES_MAX
    assert len(blame.types["kind"].outcomes) == WORKERS_MAX
