"""Codes are stable and unique; logs, exit codes and documentation share them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nexus_sched.errors import ConfigInvalid, NexusError, QueueFull, StoreError, TaskFailed


def below(kind: type[NexusError]) -> Iterator[type[NexusError]]:
    for child in kind.__subclasses__():
        if child.__module__ == "nexus_sched.errors":
            yield child
            yield from below(child)


def test_codes_are_unique_and_written_alike():
    kinds = [NexusError, *below(NexusError)]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code) for code in codes)


def test_every_error_exits_with_a_code_of_a_failure():
    assert all(1 <= kind.exit_code <= 9 for kind in below(NexusError))
    assert all(kind.exit_code != 1 for kind in below(StoreError))


def test_errors_carry_what_handlers_need():
    assert ConfigInvalid(["a", "b"]).problems == ["a", "b"]
    assert QueueFull("full", 250).retry_after_ms == 250
    failed = TaskFailed("t1", "dead", "worker-lost")
    assert (failed.task_id, failed.outcome, failed.reason) == ("t1", "dead", "worker-lost")
    assert "t1" in str(failed)
