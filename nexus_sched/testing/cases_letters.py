"""Conformance of dead letters and of full queues: sent again exactly once, purged, and told when to come back."""

from __future__ import annotations

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.outcome import Acceptance, Reason, Receipt
from nexus_sched.runtime.ports import LETTERS_MAX, DeadLetter, EndLine, LetterKey, Redrive, SubmitLine
from nexus_sched.testing.conformance import START, Stage, case, readable


async def letters(stage: Stage) -> list[DeadLetter]:
    """All dead letters, as an operator sees them."""
    return await stage.submitter.dead_letters(START, 1_000)


async def die(stage: Stage, task_id: str, attempt: int = 2, reason: Reason = Reason.WORKER_KILLER) -> LetterKey:
    """End a queued task as a dead letter."""
    removals = {
        stream: [entry for entry, fields in await stage.entries(stream) if fields["i"] == task_id.encode()]
        for stream in ("q:5", "q:9", "q:r")
    }
    await stage.commit(removals=removals, ends=[EndLine(True, task_id, attempt, reason, "w", "why")])
    return (await letters(stage))[-1].key


async def redrive(stage: Stage, *keys: LetterKey) -> list[Redrive]:
    """Send letters again."""
    return await stage.submitter.redrive(keys, "mended", "ada")


@case
async def redrive_puts_a_dead_task_back_into_its_queue(stage: Stage) -> None:
    """With its payload, its own priority and the attempts it had; the letter is gone."""
    await stage.lead()
    await stage.submit("a", priority=9)
    key = await die(stage, "a")
    assert (await letters(stage))[0][1:] == ("a", 2, "worker-killer", "w", "why")
    assert await redrive(stage, key) == [Redrive.QUEUED]
    assert await letters(stage) == []
    assert [fields for _, fields in await stage.entries("q:9")] == [{"i": b"a", "m": b"spec-a", "b": b"7", "a": b"2"}]
    record = await stage.submitter.record("a")
    assert record is not None
    assert (record.state, record.outcome) == ("Q", "")
    operation = (await stage.submitter.operations(10))[0]
    assert operation[1:] == ("redrive", 1, "mended", "ada")


@case
async def redrive_that_is_repeated_queues_nothing_more(stage: Stage) -> None:
    """A lost reply is answered by the same call; a letter that never was is told apart from it."""
    await stage.lead()
    await stage.submit("a")
    key = await die(stage, "a")
    assert await redrive(stage, key, key) == [Redrive.QUEUED, Redrive.REPEATED]
    assert await redrive(stage, key) == [Redrive.REPEATED]
    assert await redrive(stage, LetterKey(key.entry, "b"), LetterKey("1-1", "a")) == [Redrive.GONE, Redrive.GONE]
    assert len(await stage.entries("q:5")) == 1
    assert len(await stage.submitter.operations(10)) == 1
    again = await die(stage, "a", 3)
    assert again != key
    assert await redrive(stage, key) == [Redrive.REPEATED]
    assert await redrive(stage, again) == [Redrive.QUEUED]


@case
async def redrive_refuses_late_starts_of_former_attempts(stage: Stage) -> None:
    """Attempts count on: what was handed out before the death starts no more, the next one does."""
    await stage.lead()
    await stage.submit("a")
    former, next_one = await stage.worker.register("w", b""), await stage.worker.register("v", b"")
    entry = await stage.dispatch("a", "w", 1)
    await stage.start("w", former, "a", entry)
    await stage.complete("w", former, "a", entry, final=False)
    key = await die(stage, "a", 1, Reason.ATTEMPTS_EXHAUSTED)
    assert await redrive(stage, key) == [Redrive.QUEUED]
    assert await stage.start("w", former, "a", entry, 1) is None
    entry = await stage.dispatch("a", "v", 2)
    assert await stage.start("v", next_one, "a", entry, 2) is not None
    assert await stage.start("w", former, "a", "1-1", 1) is None
    assert await stage.complete("v", next_one, "a", entry, 2) is Receipt.ACCEPTED


@case
async def redrive_says_how_many_attempts_a_task_had_before(stage: Stage) -> None:
    """In its description, in the queue and where it is started; however long that is, and each time anew."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    more = {f"k{number}": number for number in range(15)}
    specs: dict[str, dict[str, object]] = {"short": {"type": "t"}, "longer": {"type": "t", **more}}
    specs["long"] = {"type": "t", **dict(list(more.items())[:14])}
    for task_id, spec in specs.items():
        await stage.submitter.submit([SubmitLine(task_id, 5, msgspec.msgpack.encode(spec), b"payload")], "")
        for last in (2, 70_000):
            assert await redrive(stage, await die(stage, task_id, last)) == [Redrive.QUEUED]
            ((_, fields),) = await stage.entries("q:5")
            entry = await stage.dispatch(task_id, "w", last + 1)
            envelope = await stage.start("w", incarnation, task_id, entry, last + 1)
            assert envelope is not None
            length = int.from_bytes(envelope[:4], "big")
            assert envelope[4 : 4 + length] == fields["m"]
            assert envelope[4 + length :] == b"payload"
            assert msgspec.msgpack.decode(fields["m"]) == spec | {"former_attempts": last}


@case
async def redrive_of_what_is_no_dead_task_changes_nothing(stage: Stage) -> None:
    """Malformed entries have no task; a letter may also name one that was never there."""
    await stage.lead()
    await stage.commit(ends=[EndLine(True, "", 0, Reason.MALFORMED, "", "bytes")])
    await stage.commit(ends=[EndLine(True, "ghost", 0, Reason.ENGINE_ERROR, "w", "")])
    keys = [letter.key for letter in await letters(stage)]
    assert await redrive(stage, *keys) == [Redrive.NOT_DEAD] * 2
    assert len(await letters(stage)) == 2
    assert await stage.submitter.operations(10) == []


@case
async def redrive_respects_the_bounds_of_the_queue(stage: Stage) -> None:
    """Count and bytes, as for a submission; the letter stays."""
    await stage.lead()
    await stage.submit("a", "b")
    keys = [await die(stage, "a"), await die(stage, "b")]
    short = await stage.bounded_submitter(length_max=1)
    assert await short.redrive(keys, "why", "") == [Redrive.QUEUED, Redrive.BUSY]
    small = await stage.bounded_submitter(bytes_max=13)
    assert await small.redrive(keys[1:], "why", "") == [Redrive.BUSY]
    assert [letter.key for letter in await letters(stage)] == keys[1:]
    assert await redrive(stage, keys[1]) == [Redrive.QUEUED]


@case
async def purge_removes_letter_payload_and_record(stage: Stage) -> None:
    """So the id may be used again; a malformed entry goes as well, a live task never does."""
    await stage.lead()
    await stage.submit("a", "b")
    key = await die(stage, "a")
    await stage.commit(ends=[EndLine(True, "", 0, Reason.MALFORMED, "", "bytes")])
    malformed = (await letters(stage))[-1].key
    assert await stage.submitter.payload("a") is not None
    assert await stage.submitter.purge([key, malformed, LetterKey("1-1", "b")], "old", "ada") == [True, True, False]
    assert await letters(stage) == []
    assert await stage.submitter.payload("a") is None
    assert (await stage.state("a"), await stage.state("b")) == ("", "Q")
    assert await stage.submitter.purge([key], "old", "ada") == [False]
    assert [operation[1:3] for operation in await stage.submitter.operations(10)] == [("purge", 2)]
    await stage.submit("a")


@case
async def letters_are_bounded_and_the_oldest_gives_way(stage: Stage) -> None:
    """With its task and payload: what nobody looks at must not fill the server."""
    await stage.lead()
    await stage.submit("a", "b")
    await die(stage, "a")
    malformed = [EndLine(True, "", 0, Reason.MALFORMED, "", "bytes")] * 250
    for _ in range(39):
        await stage.commit(ends=malformed)
    await stage.commit(ends=malformed[1:])
    assert (await letters(stage))[0].task_id == "a"
    await stage.commit(ends=malformed[:1])
    kept = await stage.submitter.dead_letters(START, 20_000)
    assert (len(kept), kept[0].reason) == (10_000, "malformed")
    assert (await stage.state("a"), await stage.submitter.payload("a"), await stage.state("b")) == ("", None, "Q")


@case
async def letters_are_read_in_pages_and_changed_in_bounded_calls(stage: Stage) -> None:
    """Oldest first, behind an entry; an empty or endless list is refused."""
    await stage.lead()
    for number in range(3):
        await stage.commit(ends=[EndLine(True, "", 0, Reason.MALFORMED, "", str(number))])
    first = await stage.submitter.dead_letters(START, 2)
    rest = await stage.submitter.dead_letters(first[-1].entry, 2)
    assert [letter.detail for letter in first + rest] == ["0", "1", "2"]
    assert [readable(entry)[1]["d"] for entry in await stage.leader.dead_letters(START, 1)] == [b"0"]
    for keys in ([], [first[0].key] * (LETTERS_MAX + 1)):
        for act in (stage.submitter.redrive, stage.submitter.purge):
            try:
                await act(keys, "why", "")
            except InvalidInput:
                continue
            raise AssertionError(f"{len(keys)} letters were taken in one call")


@case
async def submit_to_a_full_queue_is_told_when_there_will_be_room(stage: Stage) -> None:
    """By what the leader predicts to leave the queue; without a prediction nothing is claimed."""
    small = await stage.bounded_submitter(length_max=1)
    await stage.submit("a")
    lines = stage.lines("b", "c")
    answers = await small.submit(lines, "")
    assert (list(answers), answers.retry_after_ms) == ([Acceptance.BUSY] * 2, None)
    for drain_tasks_s, expected_ms in ((8.0, 250), (1e6, 2), (0.001, 60_000), (0.0, None)):
        await stage.leader.write_frame(b"frame", drain_tasks_s)
        assert (await small.submit(lines, "")).retry_after_ms == expected_ms
    await stage.leader.write_frame(b"frame", 8.0)
    assert (await stage.submitter.submit(lines, "")).retry_after_ms is None
