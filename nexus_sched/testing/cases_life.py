"""Conformance of losing workers: reaping, and what becomes of tasks, results and zombies."""

from __future__ import annotations

from nexus_sched.errors import Fenced
from nexus_sched.model.outcome import Receipt
from nexus_sched.runtime.ports import Reaped, StopLine
from nexus_sched.testing.conformance import Stage, case


async def beat_of(stage: Stage, worker: str) -> int:
    """The worker's heartbeat counter."""
    return (await stage.leader.heartbeats())[worker]


@case
async def reap_lost_worker_returns_its_tasks(stage: Stage) -> None:
    """Started or not, each once, and the leader is told; the lost incarnation is refused from then on."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("runs", "waits")
    runs = await stage.dispatch("runs", "w")
    await stage.dispatch("waits", "w")
    await stage.start("w", incarnation, "runs", runs)
    reaped = await stage.leader.reap(stage.lease, "w", await beat_of(stage, "w"), 100)
    assert reaped == Reaped(alive=False, moved=2, left=0)
    returned = [(fields["i"], fields["y"], fields["n"]) for _, fields in await stage.entries("q:r")]
    assert returned == [(b"runs", b"worker-lost", b"1"), (b"waits", b"worker-lost", b"0")]
    assert [fields["k"] for _, fields in await stage.entries("rep")] == [b"join", b"lost"]
    assert await stage.leader.heartbeats() == {}
    try:
        await stage.beat("w", incarnation)
    except Fenced:
        pass
    else:
        raise AssertionError("a reaped worker was honoured")
    assert await stage.worker.register("w", b"") > incarnation


@case
async def reap_is_void_after_a_heartbeat(stage: Stage) -> None:
    """Compare and set on the counter: a worker that was only late keeps its tasks."""
    await stage.lead()
    incarnation = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    seen = await beat_of(stage, "w")
    await stage.start("w", incarnation, "a", entry)
    assert await stage.leader.reap(stage.lease, "w", seen, 100) == Reaped(alive=True)
    assert await stage.complete("w", incarnation, "a", entry) is Receipt.ACCEPTED
    assert await stage.entries("q:r") == []


@case
async def reap_is_void_after_a_new_registration(stage: Stage) -> None:
    """Also between the chunks of a reaping."""
    await stage.lead()
    await stage.worker.register("w", b"")
    seen = await beat_of(stage, "w")
    await stage.worker.register("w", b"")
    assert await stage.leader.reap(stage.lease, "w", seen, 100) == Reaped(alive=True)
    await stage.leader.reap(stage.lease, "w", await beat_of(stage, "w"), 100)
    await stage.worker.register("w", b"")
    assert await stage.leader.reap(stage.lease, "w", seen, 100) == Reaped(alive=True)


@case
async def reap_goes_in_chunks(stage: Stage) -> None:
    """Each call moves at most `limit` and tells what is left; the loss is reported once."""
    await stage.lead()
    await stage.worker.register("w", b"")
    await stage.submit(*(f"t{number}" for number in range(5)))
    for number in range(5):
        await stage.dispatch(f"t{number}", "w")
    beat = await beat_of(stage, "w")
    answers = [await stage.leader.reap(stage.lease, "w", beat, 2) for _ in range(4)]
    assert [(answer.alive, answer.moved, answer.left) for answer in answers] == [
        (False, 2, 3),
        (False, 2, 1),
        (False, 1, 0),
        (False, 0, 0),
    ]
    assert [fields["i"] for _, fields in await stage.entries("q:r")] == [b"t0", b"t1", b"t2", b"t3", b"t4"]
    assert [fields["k"] for _, fields in await stage.entries("rep")] == [b"join", b"lost"]


@case
async def reap_unknown_worker_finds_nothing(stage: Stage) -> None:
    """And what was dispatched to one who had left already comes back by it."""
    await stage.lead()
    assert await stage.leader.reap(stage.lease, "nobody", 0, 100) == Reaped(alive=False, moved=0, left=0)
    incarnation = await stage.worker.register("w", b"")
    await stage.worker.leave("w", incarnation)
    await stage.submit("a")
    await stage.dispatch("a", "w")
    assert await stage.leader.reap(stage.lease, "w", 0, 100) == Reaped(alive=False, moved=1, left=0)


@case
async def reap_drops_control_messages_and_ended_tasks(stage: Stage) -> None:
    """Only live tasks return."""
    await stage.lead()
    await stage.worker.register("w", b"")
    other = await stage.worker.register("other", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.commit(stops=[StopLine("w", "a", 1)])
    # somebody else finishes it: an attempt that had been believed lost
    assert await stage.complete("other", other, "a", entry) is Receipt.LATE
    reaped = await stage.leader.reap(stage.lease, "w", await beat_of(stage, "w"), 100)
    assert reaped == Reaped(alive=False, moved=0, left=0)
    assert await stage.entries("q:r") == []
    assert await stage.state("a") == "F"


@case
async def zombie_result_after_reaping_is_refused_with_its_worker(stage: Stage) -> None:
    """A worker that was declared lost has to register before it may report; then its result still counts."""
    await stage.lead()
    zombie = await stage.worker.register("w", b"")
    await stage.submit("a")
    entry = await stage.dispatch("a", "w")
    await stage.start("w", zombie, "a", entry)
    await stage.leader.reap(stage.lease, "w", await beat_of(stage, "w"), 100)
    try:
        await stage.complete("w", zombie, "a", entry)
    except Fenced:
        pass
    else:
        raise AssertionError("a zombie's result was accepted")
    reborn = await stage.worker.register("w", b"")
    assert await stage.complete("w", reborn, "a", entry, result=b"first") is Receipt.LATE
    assert await stage.submitter.result("a") == b"first"
    removed = [entry for entry, _ in await stage.entries("q:r")]
    await stage.commit(removals={"q:r": removed})
    assert await stage.entries("q:r") == []
