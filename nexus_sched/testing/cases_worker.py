"""Conformance of working: registering, steps, receipts, refused starts, inboxes, leaving."""

from __future__ import annotations

import asyncio

from nexus_sched.errors import Fenced
from nexus_sched.model.outcome import Outcome, Receipt
from nexus_sched.runtime.ports import CompletionLine, StartLine, StopLine
from nexus_sched.testing.conformance import LONG_MS, SHORT_MS, START, Stage, case


async def fenced(stage: Stage, worker: str, incarnation: int) -> None:
    """Every call of this incarnation is refused."""
    for act in (lambda: stage.beat(worker, incarnation), lambda: stage.worker.leave(worker, incarnation)):
        try:
            await act()
        except Fenced:
            continue
        raise AssertionError("a former incarnation was honoured")


@case
async def register_counts_incarnations_and_reports(stage: Stage) -> None:
    """Each tells the leader what the worker offers."""
    assert await stage.worker.register("w", b"offer 1") == 1
    assert await stage.worker.register("w", b"offer 2") == 2
    assert await stage.worker.register("v", b"") == 1
    assert [fields for _, fields in await stage.entries("rep")] == [
        {"k": b"join", "w": b"w", "n": b"1", "f": b"offer 1"},
        {"k": b"join", "w": b"w", "n": b"2", "f": b"offer 2"},
        {"k": b"join", "w": b"v", "n": b"1", "f": b""},
    ]
    await fenced(stage, "w", 1)
    await fenced(stage, "nobody", 1)
    await stage.beat("w", 2)


@case
async def register_reclaims_only_what_had_started(stage: Stage) -> None:
    """What lies in the inbox unstarted is the new incarnation's; what ran is somebody's again."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    await stage.submit("runs", "waits")
    runs, waits = await stage.dispatch("runs", "w"), await stage.dispatch("waits", "w")
    await stage.start("w", first, "runs", runs)
    second = await stage.worker.register("w", b"")
    returned = [fields for _, fields in await stage.entries("q:r")]
    assert returned == [{"i": b"runs", "a": b"1", "w": b"w", "y": b"worker-restarted", "n": b"1"}]
    assert [item.task_id for item in await stage.inbox("w")] == ["waits"]
    assert await stage.start("w", second, "waits", waits)
    assert await stage.start("w", second, "runs", runs) is None


@case
async def step_counts_as_a_heartbeat(stage: Stage) -> None:
    """Every step changes the counter, every registration changes it too."""
    first = await stage.worker.register("w", b"")
    beats = [(await stage.leader.heartbeats())["w"]]
    for report in (b"", b"report"):
        await stage.beat("w", first, report)
        beats.append((await stage.leader.heartbeats())["w"])
    await stage.worker.register("w", b"")
    beats.append((await stage.leader.heartbeats())["w"])
    assert len(set(beats)) == 4, beats
    reports = [fields for _, fields in await stage.entries("rep") if fields["k"] == b"report"]
    assert reports == [{"k": b"report", "w": b"w", "n": b"1", "f": b"report"}]


@case
async def step_runs_a_task_to_its_result(stage: Stage) -> None:
    """Queued, running, finished; the fact reaches the leader, the result stays."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a", payload=b"PAY")
    entry = await stage.dispatch("a", "w", 1)
    assert await stage.state("a") == "Q"
    assert await stage.start("w", incarnation, "a", entry) == b"\x00\x00\x00\x06spec-aPAY"
    assert await stage.state("a") == "R"
    assert await stage.complete("w", incarnation, "a", entry, result=b"RES") is Receipt.ACCEPTED
    record = await stage.submitter.record("a")
    assert record is not None
    assert tuple(record) == ("F", "succeeded", 1, "w", entry)
    assert await stage.submitter.result("a") == b"RES"
    assert await stage.inbox("w") == []
    assert [fields for _, fields in await stage.entries("res")] == [{"i": b"a", "w": b"w", "a": b"1", "f": b"fact"}]


@case
async def step_without_a_result_keeps_none(stage: Stage) -> None:
    """An empty result takes no space."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    assert await stage.complete("w", incarnation, "a", entry, outcome=Outcome.FAILED, result=b"") is Receipt.ACCEPTED
    assert await stage.submitter.result("a") is None
    record = await stage.submitter.record("a")
    assert record is not None
    assert record.outcome == "failed"


@case
async def step_takes_many_at_once(stage: Stage) -> None:
    """Answers come in the order of the lines, completions before starts."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit(*(f"t{number}" for number in range(6)))
    entries = [await stage.dispatch(f"t{number}", "w") for number in range(6)]
    starts = [StartLine(f"t{number}", 1, entries[number]) for number in range(3)]
    reply = await stage.worker.step("w", incarnation, b"", [], [*starts, StartLine("unknown", 1, "99-0")])
    assert [envelope is not None for envelope in reply.envelopes] == [True, True, True, False]
    completions = [
        CompletionLine(task, 1, entry, True, Outcome.SUCCEEDED, b"fact", b"")
        for task, entry in zip(("t0", "unknown", "t2"), (entries[0], "99-7", entries[2]), strict=True)
    ]
    starts = [StartLine(f"t{number}", 1, entries[number]) for number in (3, 4)]
    reply = await stage.worker.step("w", incarnation, b"", completions, starts)
    assert reply.receipts == [Receipt.ACCEPTED, Receipt.STALE, Receipt.ACCEPTED]
    assert [envelope[-7:] for envelope in reply.envelopes if envelope] == [b"payload"] * 2
    assert [item.task_id for item in await stage.inbox("w")] == ["t1", "t3", "t4", "t5"]


@case
async def step_repeated_after_a_lost_reply_changes_nothing(stage: Stage) -> None:
    """A repeated start gets the envelope again, a repeated completion is recognised."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    first = await stage.start("w", incarnation, "a", entry)
    assert await stage.start("w", incarnation, "a", entry) == first
    assert await stage.complete("w", incarnation, "a", entry) is Receipt.ACCEPTED
    assert await stage.complete("w", incarnation, "a", entry) is Receipt.REPEATED
    assert await stage.start("w", incarnation, "a", entry) is None
    assert len(await stage.entries("res")) == 1


@case
async def step_non_final_run_returns_the_task(stage: Stage) -> None:
    """It goes to q:r for another attempt; saying so twice returns it once."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    assert await stage.complete("w", incarnation, "a", entry, final=False) is Receipt.RETURNED
    assert await stage.complete("w", incarnation, "a", entry, final=False) is Receipt.STALE
    returned = [fields for _, fields in await stage.entries("q:r")]
    assert returned == [{"i": b"a", "a": b"1", "w": b"w", "y": b"run-failed", "n": b"1"}]
    assert await stage.state("a") == "Q"
    assert await stage.inbox("w") == []
    assert await stage.entries("res") == []


@case
async def step_non_final_run_returns_the_task_whatever_entry_it_names(stage: Stage) -> None:
    """The run owns the task; a mistaken entry id must not leave it running for ever."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    assert await stage.complete("w", incarnation, "a", "not an entry", final=False) is Receipt.RETURNED
    assert await stage.start("w", incarnation, "a", entry) is None
    assert await stage.inbox("w") == []
    again = await stage.dispatch("a", "w", 2)
    assert await stage.start("w", incarnation, "a", again, 2)


@case
async def step_first_completion_wins(stage: Stage) -> None:
    """Late but first is accepted; whoever comes after it is stale, also if it is the newer attempt."""
    await stage.lead()
    slow, fast = await stage.worker.register("slow", b""), await stage.worker.register("fast", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "slow")
    await stage.start("slow", slow, "a", entry)
    assert await stage.complete("slow", slow, "a", entry, final=False) is Receipt.RETURNED
    second = await stage.dispatch("a", "fast", 2)
    assert await stage.start("fast", fast, "a", second, 2)
    assert await stage.complete("slow", slow, "a", entry, result=b"slow") is Receipt.LATE
    assert await stage.complete("fast", fast, "a", second, 2, result=b"fast") is Receipt.STALE
    assert await stage.submitter.result("a") == b"slow"
    assert await stage.inbox("fast") == []
    told = [(fields["w"], bool(fields["f"])) for _, fields in await stage.entries("res")]
    assert told == [(b"slow", True), (b"fast", False)]  # the end, and that a pointer is gone


@case
async def step_start_of_a_former_attempt_is_refused(stage: Stage) -> None:
    """Also if the task is queued again; the stale entry goes away."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", first, "a", entry)
    second = await stage.worker.register("w", b"")
    again = await stage.dispatch("a", "w", 2)
    assert await stage.start("w", second, "a", entry, 1) is None
    assert await stage.start("w", second, "a", again, 2) is not None


@case
async def step_bad_entry_id_does_not_stop_the_others(stage: Stage) -> None:
    """A worker's mistake in one line is that line's."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a", "b")
    first, second = await stage.dispatch("a", "w"), await stage.dispatch("b", "w")
    await stage.worker.step("w", incarnation, b"", [], [StartLine("a", 1, first), StartLine("b", 1, second)])
    lines = [
        CompletionLine("unknown", 1, "what-is-this", True, Outcome.SUCCEEDED, b"", b""),
        CompletionLine("b", 1, second, True, Outcome.SUCCEEDED, b"", b""),
    ]
    reply = await stage.worker.step("w", incarnation, b"", lines, [StartLine("nobody", 1, "x")])
    assert reply.receipts == [Receipt.STALE, Receipt.ACCEPTED]
    assert reply.envelopes == [None]


@case
async def inbox_control_message_is_acknowledged_by_a_refused_start(stage: Stage) -> None:
    """Once its task has ended here, claiming a start with the message's entry removes the message."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    stop = f"{await stage.commit(stops=[StopLine('w', 'a', 1)])}-0"
    assert await stage.complete("w", incarnation, "a", entry, outcome=Outcome.CANCELLED) is Receipt.ACCEPTED
    assert [item.control for item in await stage.inbox("w")] == ["stop"]
    assert await stage.start("w", incarnation, "a", stop) is None
    assert await stage.inbox("w") == []


@case
async def preempted_run_goes_back_and_says_so(stage: Stage) -> None:
    """The inbox tells one control message from the other; what gave way is reclaimed as such, not as a failure."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", incarnation, "a", entry)
    await stage.commit(stops=[StopLine("w", "a", 1, "preempt")])
    assert [item.control for item in await stage.inbox("w")] == ["", "preempt"]
    receipt = await stage.complete("w", incarnation, "a", entry, outcome=Outcome.PREEMPTED, final=False)
    assert receipt is Receipt.RETURNED
    assert [(fields["i"], fields["y"]) for _, fields in await stage.entries("q:r")] == [(b"a", b"preempted")]


@case
async def copy_of_a_running_task_may_start_and_the_first_completion_wins(stage: Stage) -> None:
    """A higher attempt starts beside the first; what the loser says afterwards is stale."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("v", b"")
    await stage.submit("a", "b")
    runs = {task: await stage.dispatch(task, "w") for task in ("a", "b")}
    copies = {task: await stage.copy(task, "v", 2) for task in ("a", "b")}
    for task in ("a", "b"):
        assert await stage.start("w", first, task, runs[task]) is not None
        assert await stage.start("v", second, task, copies[task], 2) is not None
        assert await stage.start("w", first, task, runs[task]) is None  # asked again: the copy owns the task now
    assert await stage.complete("w", first, "a", runs["a"]) is Receipt.LATE
    assert await stage.complete("v", second, "a", copies["a"], 2) is Receipt.STALE
    assert await stage.complete("v", second, "b", copies["b"], 2) is Receipt.ACCEPTED
    assert await stage.complete("w", first, "b", runs["b"]) is Receipt.STALE
    assert await stage.entries("q:r") == []


@case
async def original_that_ends_beside_its_copy_only_vanishes(stage: Stage) -> None:
    """Its worker leaves, or its run fails and would be repeated: the leader hears of it, and the copy goes on."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("v", b"")
    await stage.submit("a", "b")
    runs = {task: await stage.dispatch(task, "w") for task in ("a", "b")}
    for task in ("a", "b"):
        copy = await stage.copy(task, "v", 2)
        await stage.start("w", first, task, runs[task])
        await stage.start("v", second, task, copy, 2)
    assert await stage.complete("w", first, "a", runs["a"], final=False, outcome=Outcome.FAILED) is Receipt.STALE
    assert await stage.worker.leave("w", first) == 0
    gone = [(fields["i"], fields["w"], fields["a"], fields["f"]) for _, fields in await stage.entries("res")]
    assert gone == [(b"a", b"w", b"1", b""), (b"b", b"w", b"1", b"")]
    assert await stage.entries("q:r") == []
    assert await stage.state("a") == await stage.state("b") == "R"


@case
async def copy_that_is_lost_leaves_the_original_to_finish(stage: Stage) -> None:
    """It goes through `q:r`; the lowest attempt that may start never goes down again."""
    await stage.lead()
    first = await stage.worker.register("w", b"")
    second = await stage.worker.register("v", b"")
    await stage.submit("a")
    run = await stage.dispatch("a", "w")
    copy = await stage.copy("a", "v", 2)
    await stage.start("w", first, "a", run)
    await stage.start("v", second, "a", copy, 2)
    assert await stage.worker.leave("v", second) == 1
    assert await stage.complete("w", first, "a", run, final=False, outcome=Outcome.FAILED) is Receipt.RETURNED
    returned = [(fields["a"], fields["w"]) for _, fields in await stage.entries("q:r")]
    assert returned == [(b"2", b"v"), (b"1", b"w")]
    late = await stage.copy("a", "w", 2)
    assert await stage.start("w", first, "a", late, 2) is None
    again = await stage.copy("a", "w", 3)
    assert await stage.start("w", first, "a", again, 3) is not None


@case
async def leave_returns_everything(stage: Stage) -> None:
    """Started or not; the worker is gone from the heartbeats, and cannot leave twice."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("runs", "waits")
    runs = await stage.dispatch("runs", "w")
    await stage.dispatch("waits", "w")
    await stage.start("w", incarnation, "runs", runs)
    await stage.commit(stops=[StopLine("w", "runs", 1)])
    assert await stage.worker.leave("w", incarnation) == 2
    returned = [(fields["i"], fields["y"], fields["n"]) for _, fields in await stage.entries("q:r")]
    assert returned == [(b"runs", b"worker-left", b"1"), (b"waits", b"worker-left", b"0")]
    assert await stage.inbox("w") == []
    assert await stage.leader.heartbeats() == {}
    assert [fields["k"] for _, fields in await stage.entries("rep")] == [b"join", b"left"]
    await fenced(stage, "w", incarnation)


@case
async def inbox_is_read_behind_a_cursor_and_waits(stage: Stage) -> None:
    """From the start for `0-0`, `count` at a time, waking when something is dispatched."""
    await stage.lead()
    await stage.submit("a", "b", "c", "d")
    for task in ("a", "b", "c"):
        await stage.dispatch(task, "w")
    items = await stage.worker.read_inbox("w", START, 2, LONG_MS)
    assert [item.task_id for item in items] == ["a", "b"]
    items = await stage.worker.read_inbox("w", items[-1].entry, 2, LONG_MS)
    assert [item.task_id for item in items] == ["c"]
    assert await stage.worker.read_inbox("w", items[-1].entry, 2, 0) == []
    assert await stage.worker.read_inbox("w", items[-1].entry, 2, SHORT_MS) == []
    reading = asyncio.ensure_future(stage.worker.read_inbox("w", items[-1].entry, 2, 60_000))
    await asyncio.sleep(SHORT_MS / 1_000)
    await stage.dispatch("d", "w")
    async with asyncio.timeout(LONG_MS / 1_000):
        assert [item.task_id for item in await reading] == ["d"]
