"""What is kept of a shard's past, and whose it is: snapshots have cases of their own in `cases_leader`."""

from __future__ import annotations

import pytest

from nexus_sched.errors import StoreError
from nexus_sched.runtime.ports import EXPORT_TURNS_MAX
from nexus_sched.testing.conformance import Stage, case


async def _turns(stage: Stage, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        await stage.commit(turn=b"%d" % seq)


async def _kept(stage: Stage) -> list[int]:
    return [seq for seq, _ in await stage.leader.journal(0, 1_000)]


@case
async def journal_is_kept_for_an_exporter_until_it_has_it(stage: Stage) -> None:
    """The older of the second newest snapshot and of what the exporter has decides."""
    await stage.lead()
    assert await stage.leader.hold_journal(0, 100) == 1
    await _turns(stage, 1, 9)
    for seq in (2, 5, 8):
        await stage.leader.save_snapshot(stage.lease, seq, b"state")
    assert await _kept(stage) == list(range(1, 10))
    assert await stage.leader.hold_journal(4, 100) == 1
    await stage.leader.save_snapshot(stage.lease, 9, b"state")
    assert await _kept(stage) == [5, 6, 7, 8, 9]
    assert await stage.leader.hold_journal(9, 100) == 5
    await _turns(stage, 10, 12)
    await stage.leader.save_snapshot(stage.lease, 12, b"state")
    assert await _kept(stage) == [10, 11, 12]


@case
async def exporter_that_died_holds_a_bounded_part_of_the_journal(stage: Stage) -> None:
    """It is told of the gap when it comes back, and can be forgotten."""
    await stage.lead()
    await stage.leader.hold_journal(0, 4)
    await _turns(stage, 1, 10)
    await stage.leader.save_snapshot(stage.lease, 9, b"state")
    assert await _kept(stage) == list(range(1, 11))  # nothing was to be cut yet
    await stage.leader.save_snapshot(stage.lease, 10, b"state")
    assert await _kept(stage) == [7, 8, 9, 10]
    assert await stage.leader.hold_journal(0, 0) == 7
    await _turns(stage, 11, 12)
    await stage.leader.save_snapshot(stage.lease, 12, b"state")
    assert await _kept(stage) == [11, 12]


@case
async def exporter_cannot_ask_for_anything_else(stage: Stage) -> None:
    """Bounds are checked before anything is written."""
    await stage.lead()
    for seq, turns_max in ((-1, 5), (0, -1), (0, EXPORT_TURNS_MAX + 1)):
        with pytest.raises(StoreError):
            await stage.leader.hold_journal(seq, turns_max)
    assert await stage.leader.hold_journal(0, 0) == 1


@case
async def history_of_writes_is_noted_for_the_next_leader(stage: Stage) -> None:
    """The first one knows no former one; on the same server, which was not started again, it stays the same."""
    await stage.lead()
    first = await stage.leader.history()
    assert first.was == ""
    assert first.now != ""
    other = await stage.other_leader()
    second = await other.history()
    assert (second.was, second.now) == (first.now, first.now)


@case
async def store_that_is_well_raises_no_alarm(stage: Stage) -> None:
    """Whatever it promises."""
    await stage.lead()
    assert (await stage.leader.health()).alarms == ()
