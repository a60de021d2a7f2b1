"""Conformance of leading: lease, fence, commits, journal, snapshots, blocking reads."""

from __future__ import annotations

import asyncio
import time

from nexus_sched.errors import Fenced
from nexus_sched.model.outcome import Reason
from nexus_sched.runtime.ports import (
    INPUT_STREAMS,
    CommitPlan,
    DispatchLine,
    EndLine,
    Lease,
    LeaseSeen,
    RetractLine,
    SequenceMismatch,
    StopLine,
)
from nexus_sched.testing.conformance import LONG_MS, SHORT_MS, START, Stage, case


def empty_plan(turn: bytes = b"turn") -> CommitPlan:
    """A turn that only writes its journal entry."""
    return CommitPlan(turn, {}, {}, [], [], [], [])


async def refused(stage: Stage, lease: Lease) -> None:
    """Every fenced call refuses `lease`."""
    for act in (
        lambda: stage.leader.renew(lease),
        lambda: stage.leader.commit(lease, stage.seq, empty_plan()),
        lambda: stage.leader.reap(lease, "w", 1, 10),
        lambda: stage.leader.save_snapshot(lease, 1, b"state"),
    ):
        try:
            await act()
        except Fenced:
            continue
        raise AssertionError("a lost lease was honoured")


@case
async def lease_of_a_new_shard_is_free(stage: Stage) -> None:
    """The first epoch is 1 and the journal starts at 0; before that there is no state."""
    assert await stage.leader.sequence() is None
    lease = await stage.lead("a", "n")
    assert (lease.epoch, lease.owner, lease.nonce, lease.seq) == (1, "a", "n", 0)
    assert await stage.leader.sequence() == 0


@case
async def lease_held_by_another_is_shown(stage: Stage) -> None:
    """It can be taken only if it stood still since it was seen."""
    await stage.lead("a", "n")
    other = await stage.other_leader()
    seen = await other.acquire("b", "m", None)
    assert isinstance(seen, LeaseSeen)
    assert seen.owner == "a"
    await stage.leader.renew(stage.lease)
    again = await other.acquire("b", "m", seen)
    assert isinstance(again, LeaseSeen)
    assert again != seen
    taken = await other.acquire("b", "m", again)
    assert isinstance(taken, Lease)
    assert taken.epoch == 2
    await refused(stage, stage.lease)
    await other.renew(taken)


@case
async def lease_seen_in_a_former_epoch_does_not_match(stage: Stage) -> None:
    """Counters start anew with every epoch; the epoch is part of what was seen."""
    await stage.lead("a", "n")
    other = await stage.other_leader()
    seen = await other.acquire("b", "m", None)
    assert isinstance(seen, LeaseSeen)
    await stage.lead("a", "n2")
    assert isinstance(await other.acquire("b", "m", seen), LeaseSeen)


@case
async def lease_of_ones_own_is_renewed_at_once(stage: Stage) -> None:
    """A restarted leader of the same name needs no wait; its former lease is void."""
    former = await stage.lead("a", "n")
    await stage.lead("a", "n2")
    assert stage.lease.epoch == former.epoch + 1
    await refused(stage, former)


@case
async def lease_released_is_free_at_once(stage: Stage) -> None:
    """A release of a lost lease changes nothing."""
    former = await stage.lead("a", "n")
    await stage.commit()
    await stage.leader.release(former)
    taken = await (await stage.other_leader()).acquire("b", "m", None)
    assert isinstance(taken, Lease)
    assert taken.seq == 1
    await stage.leader.release(former)
    assert isinstance(await stage.leader.acquire("c", "k", None), LeaseSeen)


@case
async def lease_fence_checks_epoch_and_nonce(stage: Stage) -> None:
    """Either alone is not enough."""
    lease = await stage.lead("a", "n")
    await refused(stage, Lease(lease.epoch + 1, lease.owner, lease.nonce, 0))
    await refused(stage, Lease(lease.epoch, lease.owner, "other", 0))
    await stage.commit()


@case
async def commit_appends_to_the_journal(stage: Stage) -> None:
    """One entry a turn, numbered without gaps."""
    await stage.lead()
    for number in range(1, 6):
        assert await stage.commit(turn=b"turn %d" % number) == number
    assert await stage.leader.journal(0, 3) == [(1, b"turn 1"), (2, b"turn 2"), (3, b"turn 3")]
    assert await stage.leader.journal(3, 10) == [(4, b"turn 4"), (5, b"turn 5")]
    assert await stage.leader.journal(5, 10) == []
    assert await stage.leader.sequence() == 5


@case
async def commit_on_a_wrong_sequence_writes_nothing(stage: Stage) -> None:
    """It tells where the journal is."""
    await stage.lead()
    await stage.submit("a")
    await stage.commit()
    plan = empty_plan()
    plan.dispatches.append(DispatchLine("w", "a", 1))
    for wrong in (0, 2, 7):
        try:
            await stage.leader.commit(stage.lease, wrong, plan)
        except SequenceMismatch as mismatch:
            assert mismatch.seq == 1
        else:
            raise AssertionError("a wrong sequence was accepted")
    assert await stage.inbox("w") == []
    assert await stage.leader.sequence() == 1


@case
async def commit_may_be_pipelined(stage: Stage) -> None:
    """Calls leave in order; one that fails makes those behind it fail, and nothing is half done."""
    await stage.lead()
    answers = [stage.leader.commit(stage.lease, number, empty_plan(b"%d" % number)) for number in range(20)]
    assert [await answer for answer in answers] == list(range(1, 21))
    wrong = [stage.leader.commit(stage.lease, number, empty_plan()) for number in (21, 22)]
    for answer in wrong:
        try:
            await answer
        except SequenceMismatch as mismatch:
            assert mismatch.seq == 20
        else:
            raise AssertionError("a gap was accepted")


@case
async def commit_numbers_inbox_entries_by_sequence(stage: Stage) -> None:
    """Dispatches first, then control messages; the count runs over all workers."""
    await stage.lead()
    await stage.submit("a", "b", "c")
    lines = [DispatchLine("w1", "a", 1), DispatchLine("w2", "b", 2), DispatchLine("w1", "c", 1)]
    seq = await stage.commit(dispatches=lines, stops=[StopLine("w1", "a", 1)])
    assert [tuple(item) for item in await stage.inbox("w1")] == [
        (f"{seq}-0", "", "a", 1),
        (f"{seq}-2", "", "c", 1),
        (f"{seq}-3", "stop", "a", 1),
    ]
    assert [tuple(item) for item in await stage.inbox("w2")] == [(f"{seq}-1", "", "b", 2)]


@case
async def commit_removes_and_trims_inputs(stage: Stage) -> None:
    """Removals name entries, trims name the lowest that stays; empty lists are allowed."""
    await stage.lead()
    await stage.submit("a", "b", "c")
    for blob in (b"1", b"2", b"3"):
        await stage.submitter.command(blob)
    queued, commands = await stage.entries("q:5"), await stage.entries("cmd")
    await stage.commit(removals={"q:5": [queued[0][0], queued[2][0]], "q:1": []}, trims={"cmd": commands[1][0]})
    assert [entry for entry, _ in await stage.entries("q:5")] == [queued[1][0]]
    assert [fields["f"] for _, fields in await stage.entries("cmd")] == [b"2", b"3"]


@case
async def commit_dead_letter_keeps_the_reason(stage: Stage) -> None:
    """Of a task, and of an entry that was none."""
    await stage.lead()
    await stage.submit("a")
    await stage.commit(
        ends=[
            EndLine(True, "a", 3, Reason.ATTEMPTS_EXHAUSTED, "w", "three times"),
            EndLine(True, "", 0, Reason.MALFORMED, "", "not a task: \u00e9 \ud800"),
        ]
    )
    record = await stage.submitter.record("a")
    assert record is not None
    assert (record.state, record.outcome) == ("D", "attempts-exhausted")
    letters = await stage.dead_letters()
    assert [fields for _, fields in letters] == [
        {"i": b"a", "a": b"3", "y": b"attempts-exhausted", "w": b"w", "d": b"three times"},
        {"i": b"", "a": b"0", "y": b"malformed", "w": b"", "d": "not a task: \u00e9 ?".encode()},
    ]


@case
async def commit_cancel_ends_a_queued_task(stage: Stage) -> None:
    """It cannot be started any more, and ending it twice or after its end changes nothing."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a", "done")
    entry = await stage.dispatch("done", "w")
    await stage.start("w", incarnation, "done", entry)
    await stage.complete("w", incarnation, "done", entry)
    cancelled = [EndLine(False, task, 0, Reason.CANCELLED, "", "") for task in ("a", "a", "done", "unknown")]
    await stage.commit(ends=cancelled)
    assert [await stage.state(task) for task in ("a", "done", "unknown")] == ["C", "F", ""]
    assert await stage.start("w", incarnation, "a", "99-0") is None


@case
async def commit_retract_takes_back_what_has_not_started(stage: Stage) -> None:
    """It returns by way of q:r; its old attempt number is void. What runs stays."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("idle", "runs")
    idle, runs = await stage.dispatch("idle", "w"), await stage.dispatch("runs", "w")
    assert await stage.start("w", incarnation, "runs", runs)
    await stage.commit(retracts=[RetractLine("w", idle, "idle", 1), RetractLine("w", runs, "runs", 1)])
    returned = [fields for _, fields in await stage.entries("q:r")]
    assert returned == [{"i": b"idle", "a": b"1", "w": b"w", "y": b"retracted", "n": b"0"}]
    assert [item.task_id for item in await stage.inbox("w")] == ["runs"]
    assert await stage.start("w", incarnation, "idle", idle) is None
    again = await stage.dispatch("idle", "w", 2)
    assert await stage.start("w", incarnation, "idle", again, 2)


@case
async def read_follows_cursors_in_the_order_of_streams(stage: Stage) -> None:
    """Reclaimed first, then facts, then priorities from the highest; at most `count` a stream."""
    await stage.lead()
    await stage.submit("low", priority=0)
    await stage.submit("a", "b", "c", priority=9)
    await stage.submitter.command(b"x")
    cursors = dict.fromkeys(reversed(INPUT_STREAMS), START)
    batch = await stage.leader.read(cursors, 2, LONG_MS)
    assert [(stream, len(entries)) for stream, entries in batch] == [("cmd", 1), ("q:9", 2), ("q:0", 1)]
    cursors |= {stream: str(entries[-1][0], "ascii") for stream, entries in batch}  # type: ignore[call-overload]  # the port leaves entries untyped
    batch = await stage.leader.read(cursors, 2, LONG_MS)
    assert [(stream, len(entries)) for stream, entries in batch] == [("q:9", 1)]


@case
async def read_waits_for_the_first_entry(stage: Stage) -> None:
    """It gives up after `block_ms`, does not wait at all for 0, and wakes for any of its streams."""
    cursors = dict.fromkeys(INPUT_STREAMS, START)
    began_at = time.monotonic()
    assert await stage.leader.read(cursors, 10, 0) == []
    assert await stage.leader.read(cursors, 10, SHORT_MS) == []
    assert time.monotonic() - began_at >= SHORT_MS / 1_000
    reading = asyncio.ensure_future(stage.leader.read(cursors, 10, 60_000))
    await asyncio.sleep(SHORT_MS / 1_000)
    await stage.submit("a", priority=0)
    async with asyncio.timeout(LONG_MS / 1_000):
        assert [stream for stream, _ in await reading] == ["q:0"]


@case
async def read_does_not_delay_commits(stage: Stage) -> None:
    """Blocking reads have their own connection."""
    await stage.lead()
    reading = asyncio.ensure_future(stage.leader.read({"cmd": START}, 10, 60_000))
    async with asyncio.timeout(LONG_MS / 1_000):
        await asyncio.sleep(SHORT_MS / 1_000)
        await stage.commit()
        await stage.submitter.command(b"x")
        await reading


@case
async def snapshots_two_newest_are_kept(stage: Stage) -> None:
    """The journal reaches back to the older one, so that either can be caught up."""
    await stage.lead()
    assert await stage.leader.snapshots() == []
    for seq in range(1, 10):
        await stage.commit(turn=b"%d" % seq)
        if seq in (2, 5, 8):
            await stage.leader.save_snapshot(stage.lease, seq, b"state %d" % seq)
        if seq == 2:
            assert await stage.leader.snapshots() == [(2, b"state 2")]
    assert await stage.leader.snapshots() == [(8, b"state 8"), (5, b"state 5")]
    assert [seq for seq, _ in await stage.leader.journal(5, 100)] == [6, 7, 8, 9]
    assert [seq for seq, _ in await stage.leader.journal(0, 100)] == [6, 7, 8, 9]
    await stage.leader.save_snapshot(stage.lease, 8, b"state 8 again")
    assert await stage.leader.snapshots() == [(8, b"state 8 again"), (5, b"state 5")]


@case
async def snapshots_are_taken_from_whoever_knows_the_turn(stage: Stage) -> None:
    """No lease is needed, but the journal must hold the very turn, and no other snapshot may be as new."""
    await stage.lead()
    other = await stage.other_leader()
    assert await other.newest_snapshot() == 0
    for seq in range(1, 7):
        await stage.commit(turn=b"%d" % seq)
    assert await other.offer_snapshot(2, b"2", b"state 2")
    assert await other.newest_snapshot() == 2
    assert not await other.offer_snapshot(2, b"2", b"again")
    assert not await other.offer_snapshot(1, b"1", b"older")
    assert not await other.offer_snapshot(4, b"another history", b"state 4")
    assert not await other.offer_snapshot(9, b"9", b"ahead")
    assert await other.offer_snapshot(5, b"5", b"state 5")
    assert await stage.leader.snapshots() == [(5, b"state 5"), (2, b"state 2")]
    assert [seq for seq, _ in await stage.leader.journal(0, 100)] == [3, 4, 5, 6]
    await stage.leader.save_snapshot(stage.lease, 6, b"state 6")
    assert await stage.leader.snapshots() == [(6, b"state 6"), (5, b"state 5")]


@case
async def frame_is_replaced(stage: Stage) -> None:
    """Readers see the newest."""
    await stage.leader.write_frame(b"one")
    await stage.leader.write_frame(b"two\x00")
    assert await stage.submitter.frame() == b"two\x00"
