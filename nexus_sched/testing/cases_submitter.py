"""Conformance of submitting: dedupe, bounds, order, records, commands, announcements."""

from __future__ import annotations

import asyncio

from nexus_sched.errors import InvalidInput, StoreError
from nexus_sched.model.outcome import Acceptance, Outcome, Reason
from nexus_sched.runtime.ports import (
    ESTIMATED,
    SUBMIT_TASKS_MAX,
    AnswerLine,
    EndLine,
    EstimateLine,
    SubmitLine,
    TaskRecord,
)
from nexus_sched.testing.conformance import LONG_MS, SHORT_MS, Stage, case

_INLINE_BYTES_MAX = 8_192


def line(task_id: str, payload: bytes = b"", priority: int = 5) -> SubmitLine:
    """A line with little in it."""
    return SubmitLine(task_id, priority, b"spec", payload)


@case
async def submit_new_tasks_are_queued_by_priority(stage: Stage) -> None:
    """Each in its priority's stream, in order, with spec and size."""
    answers = await stage.submitter.submit([line("a", b"12"), line("b", b"", 9), line("c", b"345")], "")
    assert answers == [Acceptance.ACCEPTED] * 3
    five, nine = await stage.entries("q:5"), await stage.entries("q:9")
    assert [fields for _, fields in five] == [
        {"i": b"a", "m": b"spec", "b": b"2"},
        {"i": b"c", "m": b"spec", "b": b"3"},
    ]
    assert [fields["i"] for _, fields in nine] == [b"b"]
    record = await stage.submitter.record("a")
    assert record is not None
    assert tuple(record) == ("Q", "", 0, "", "")


@case
async def submit_known_id_is_a_duplicate(stage: Stage) -> None:
    """Also within one call, and also after the end."""
    assert await stage.submitter.submit([line("a"), line("a")], "") == [Acceptance.ACCEPTED, Acceptance.DUPLICATE]
    assert await stage.submitter.submit([line("a", b"other", 1)], "") == [Acceptance.DUPLICATE]
    assert len(await stage.entries("q:5")) == 1
    assert await stage.entries("q:1") == []


@case
async def submit_full_queue_is_busy(stage: Stage) -> None:
    """The bound holds per priority; nothing of a refused task is kept."""
    small = await stage.bounded_submitter(length_max=2)
    answers = await small.submit([line("a"), line("b"), line("c"), line("d", b"", 6)], "")
    assert answers == [Acceptance.ACCEPTED, Acceptance.ACCEPTED, Acceptance.BUSY, Acceptance.ACCEPTED]
    assert await stage.state("c") == ""
    entries = await stage.entries("q:5")
    await stage.lead()
    await stage.commit(removals={"q:5": [entries[0][0]]})
    assert await small.submit([line("c")], "") == [Acceptance.ACCEPTED]


@case
async def submit_beyond_bytes_is_busy_until_payloads_are_freed(stage: Stage) -> None:
    """Payload bytes count until the end of their task; tasks without payload always fit."""
    small = await stage.bounded_submitter(bytes_max=10)
    assert await small.submit([line("a", b"x" * 8), line("b", b"x" * 3), line("c")], "") == [
        Acceptance.ACCEPTED,
        Acceptance.BUSY,
        Acceptance.ACCEPTED,
    ]
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    assert await small.submit([line("b", b"x" * 3)], "") == [Acceptance.BUSY]
    await stage.complete("w", incarnation, "a", entry)
    assert await small.submit([line("b", b"x" * 10)], "") == [Acceptance.ACCEPTED]


@case
async def submit_malformed_line_refuses_the_call(stage: Stage) -> None:
    """Nothing of the call is written: a mistake of the caller's, not of the tasks beside it."""
    for bad in (line("with space"), line(""), line("x" * 129), line("p", b"", 10), line("n", b"", -1)):
        try:
            await stage.submitter.submit([line("good"), bad], "")
        except StoreError:
            assert await stage.state("good") == ""
        else:
            raise AssertionError(f"{bad} was accepted")


@case
async def submit_too_many_lines_is_invalid(stage: Stage) -> None:
    """The bound of work per call."""
    try:
        await stage.submitter.submit([line(f"t{number}") for number in range(SUBMIT_TASKS_MAX + 1)], "")
    except InvalidInput:
        return
    raise AssertionError("accepted")


@case
async def submit_nothing_is_nothing(stage: Stage) -> None:
    """An empty list is answered by an empty list."""
    assert await stage.submitter.submit([], "") == []


@case
async def submit_opaque_bytes_arrive_unchanged(stage: Stage) -> None:
    """Specs and payloads may hold any bytes."""
    every = bytes(range(256)) + b"\r\n$5\r\n\x00"
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submitter.submit([SubmitLine("a", 5, every, every * 50)], "")
    assert (await stage.entries("q:5"))[0][1]["m"] == every
    entry = await stage.dispatch("a", "w")
    envelope = await stage.start("w", incarnation, "a", entry)
    assert envelope == len(every).to_bytes(4, "big") + every + every * 50
    await stage.complete("w", incarnation, "a", entry, result=every)
    assert await stage.submitter.result("a") == every


@case
async def record_unknown_task_is_none(stage: Stage) -> None:
    """Neither a record nor a result, nor a frame on a new shard."""
    assert await stage.submitter.record("nobody") is None
    assert await stage.submitter.result("nobody") is None
    assert await stage.submitter.frame() is None


@case
async def command_is_appended_for_the_leader(stage: Stage) -> None:
    """In order."""
    await stage.submitter.command(b"one")
    await stage.submitter.command(b"two\x00")
    assert [fields["f"] for _, fields in await stage.entries("cmd")] == [b"one", b"two\x00"]


@case
async def ended_announces_results_and_outcomes(stage: Stage) -> None:
    """Small results travel along, large ones have to be fetched; only who asked hears of it."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submitter.subscribed("me")
    await stage.submit("small", "large", "failed", "dead", "cancelled", reply="me")
    await stage.submit("foreign", reply="somebody-else")
    await stage.submit("silent")
    for task_id, result, outcome in (
        ("small", b"tiny \x00 result", Outcome.SUCCEEDED),
        ("large", b"x" * (_INLINE_BYTES_MAX + 1), Outcome.SUCCEEDED),
        ("silent", b"", Outcome.SUCCEEDED),
        ("foreign", b"", Outcome.SUCCEEDED),
        ("failed", b"", Outcome.FAILED),
    ):
        entry = await stage.dispatch(task_id, "w")
        await stage.start("w", incarnation, task_id, entry)
        await stage.complete("w", incarnation, task_id, entry, outcome=outcome, result=result)
    dead = EndLine(True, "dead", 1, Reason.WORKER_KILLER, "w", "twice")
    await stage.commit(ends=[dead, EndLine(False, "cancelled", 0, Reason.CANCELLED, "", "")])
    ends = stage.submitter.ended("me")
    async with asyncio.timeout(LONG_MS / 1_000):
        heard = [tuple(await anext(ends)) for _ in range(5)]
    assert heard == [
        ("small", "succeeded", b"tiny \x00 result"),
        ("large", "succeeded", None),
        ("failed", "failed", b""),
        ("dead", "worker-killer", b""),
        ("cancelled", "cancelled", b""),
    ]


@case
async def ended_waits_while_nothing_ends(stage: Stage) -> None:
    """And can be cancelled while it does."""
    await stage.submitter.subscribed("me")
    ends = stage.submitter.ended("me")
    try:
        async with asyncio.timeout(SHORT_MS / 1_000):
            await anext(ends)
    except TimeoutError:
        return
    raise AssertionError("something ended")


@case
async def estimate_is_kept_with_a_live_task_and_told(stage: Stage) -> None:
    """The newest one stands; an ended or unknown task has no use for one, and nobody hears of it."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submitter.subscribed("me")
    await stage.submit("queued", "ends", reply="me")
    await stage.submit("silent")
    assert await stage.submitter.eta("queued") is None
    lines = [EstimateLine(task_id, b"\x00 first") for task_id in ("queued", "silent", "unknown")]
    await stage.commit(estimates=lines)
    await stage.commit(estimates=[EstimateLine("queued", b"second")])
    entry = await stage.dispatch("ends", "w")
    await stage.start("w", incarnation, "ends", entry)
    await stage.commit(estimates=[EstimateLine("ends", b"runs")])
    await stage.complete("w", incarnation, "ends", entry, result=b"")
    await stage.commit(estimates=[EstimateLine("ends", b"too late")])
    assert [await stage.submitter.eta(task_id) for task_id in ("queued", "silent", "ends", "unknown")] == [
        b"second",
        b"\x00 first",
        b"runs",
        None,
    ]
    told = stage.submitter.ended("me")
    async with asyncio.timeout(LONG_MS / 1_000):
        heard = [tuple(await anext(told)) for _ in range(4)]
    assert heard == [
        ("queued", ESTIMATED, b"\x00 first"),
        ("queued", ESTIMATED, b"second"),
        ("ends", ESTIMATED, b"runs"),
        ("ends", "succeeded", b""),
    ]
    assert await stage.state("unknown") == ""


@case
async def answer_waits_for_who_asked(stage: Stage) -> None:
    """Each list is its own, in order; whoever comes first waits, and several may wait at once."""
    await stage.lead()
    assert await stage.submitter.answer("early", SHORT_MS) is None
    waiting = [asyncio.ensure_future(stage.submitter.answer(reply, LONG_MS)) for reply in ("one", "two", "never")]
    await asyncio.sleep(SHORT_MS / 1_000)
    await stage.commit(answers=[AnswerLine("two", b"2"), AnswerLine("one", b"\x00"), AnswerLine("one", b"more")])
    async with asyncio.timeout(LONG_MS / 1_000):
        assert [await waiting[0], await waiting[1]] == [b"\x00", b"2"]
        assert await stage.submitter.answer("one", LONG_MS) == b"more"
    assert await stage.submitter.answer("one", 0) is None
    waiting[2].cancel()
    await asyncio.wait([waiting[2]])
    assert waiting[2].cancelled()
    await asyncio.sleep(SHORT_MS / 1_000)  # a server that has not noticed yet would answer to nobody
    await stage.commit(answers=[AnswerLine("never", b"kept")])
    assert await stage.submitter.answer("never", SHORT_MS) == b"kept"


@case
async def record_names_the_decision_and_the_journal_holds_it(stage: Stage) -> None:
    """The inbox entry of a run is its place in the journal; of two runs it is the one that won."""
    await stage.lead()
    await stage.submit("t1", "t2")
    incarnation = await stage.worker.register("w", b"")
    first, second = await stage.dispatch("t1", "w"), await stage.dispatch("t2", "w")
    assert [record.decision for record in await _records(stage, "t1", "t2")] == ["", ""]
    await stage.start("w", incarnation, "t1", first)
    await stage.start("w", incarnation, "t2", second)
    copy = await stage.copy("t2", "w", 2)
    await stage.start("w", incarnation, "t2", copy, 2)
    assert [record.decision for record in await _records(stage, "t1", "t2")] == [first, copy]
    await stage.complete("w", incarnation, "t2", second)
    assert [record.decision for record in await _records(stage, "t2")] == [second]
    seq = int(first.partition("-")[0])
    assert await stage.submitter.journal(seq - 1, 2) == [(seq, b"turn"), (seq + 1, b"turn")]
    assert await stage.submitter.journal(seq + 2, 10) == []


async def _records(stage: Stage, *task_ids: str) -> list[TaskRecord]:
    found = [await stage.submitter.record(task_id) for task_id in task_ids]
    return [record for record in found if record is not None]
