"""Only a change of a counter means anything; timers start anew when nobody looked."""

from __future__ import annotations

import asyncio

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.model.events import WorkerSuspected, WorkerTrusted
from nexus_sched.runtime.beats import Beats
from nexus_sched.runtime.liveness import MASS_HOLD_S, Heartbeats, watch
from nexus_sched.runtime.ports import CommitPlan, DispatchLine, Lease, SubmitLine
from nexus_sched.testing.virtual_time import LoopClock, virtually


class Watch:
    """Looks every half second at one counter."""

    def __init__(self, *suspects: str) -> None:
        self.heartbeats = Heartbeats(2.0, 5.0, suspects)
        self.now_s = 100.0

    def look(self, after_s: float = 0.5, **counters: int):
        self.now_s += after_s
        return self.heartbeats.look(counters, self.now_s)

    def silence(self, seconds: float, **counters: int):
        events, dead = [], []
        for _ in range(int(seconds / 0.5)):
            new, gone = self.look(**counters)
            events += new
            dead += gone
        return events, dead


def test_worker_that_beats_is_never_suspected():
    watching = Watch()
    for beat in range(100):
        assert watching.look(w1=beat) == ([], [])


def test_silence_is_suspicious_once_and_deadly_later():
    watching = Watch()
    assert watching.look(w1=7) == ([], [])
    assert watching.silence(1.5, w1=7) == ([], [])
    assert watching.look(w1=7) == ([WorkerSuspected("w1")], [])
    assert watching.silence(2.5, w1=7) == ([], [])
    assert watching.look(w1=7) == ([], [("w1", 7)])
    assert watching.look(w1=7) == ([], [("w1", 7)])  # until it is reaped


def test_silence_counts_on_where_another_has_looked_before_and_nowhere_else():
    beats = Beats(2.0)
    for half_second in range(20):
        assert list(beats.note({"w1": 7, "w2": half_second}, 100.0 + half_second / 2))
    heir = Heartbeats(2.0, 5.0, beats=beats)
    events, dead = heir.look({"w1": 7, "w2": 20}, 110.0)
    assert (events, dead) == ([], [("w1", 7)])
    late = Heartbeats(2.0, 5.0, beats=beats)
    assert late.look({"w1": 7, "w2": 20}, 113.0) == ([], [])  # nobody had looked for three seconds


def test_next_look_is_due_when_the_next_of_the_silent_would_be_dead():
    watching = Watch()
    watching.look(w1=7, w2=1)
    watching.silence(3.0, w1=7, w2=1)
    assert watching.heartbeats.due_in_s == 2.0
    watching.look(after_s=1.75, w1=7, w2=2)
    assert watching.heartbeats.due_in_s == 0.25
    assert watching.look(after_s=0.25, w1=7, w2=2) == ([], [("w1", 7)])
    assert watching.heartbeats.due_in_s == 5.0


def test_suspect_that_beats_is_trusted_again():
    watching = Watch()
    watching.look(w1=7)
    watching.silence(2.0, w1=7)
    assert watching.look(w1=8) == ([WorkerTrusted("w1")], [])
    assert watching.look(w1=8) == ([], [])


def fleet(size: int, silent: int, beat: int) -> dict[str, int]:
    """Counters at look `beat`, of which the first `silent` stand still."""
    return {f"w{number}": 7 if number < silent else beat for number in range(size)}


@pytest.mark.parametrize(("size", "silent", "held"), [(10, 4, True), (10, 3, False), (4, 2, False), (3, 3, True)])
def test_mass_death_is_held_for_a_while_and_then_goes_on(size: int, silent: int, held: bool):
    watching = Watch()
    reaped_after_s = None
    for beat in range(1, 60):
        _, dead = watching.look(**fleet(size, silent, beat + 10))
        if dead:
            reaped_after_s = beat * 0.5
            assert len(dead) == silent
            break
        assert watching.heartbeats.held in (0, silent)
    assert reaped_after_s == (MASS_HOLD_S + 5.5 if held else 5.5)
    # those that are reaped leave; the rest of them need not wait once more
    assert len(watching.look(**fleet(size, silent, 99))[1]) == silent


def test_mass_death_ends_when_they_are_heard_of_again_and_the_next_one_is_held_anew():
    watching = Watch()
    for beat in range(1, 20):
        assert watching.look(**fleet(10, 5, beat + 10))[1] == []
    assert watching.heartbeats.held == 5
    events, dead = watching.look(**fleet(10, 0, 99))
    assert (events, dead) == ([WorkerTrusted(f"w{number}") for number in range(5)], [])
    assert watching.heartbeats.held == 0
    silent_looks = sum(watching.look(**fleet(10, 5, beat + 200))[1] == [] for beat in range(60))
    assert silent_looks * 0.5 == MASS_HOLD_S + 5.0


def test_workers_that_fall_silent_shortly_after_one_another_count_as_one_mass():
    watching = Watch()
    for beat in range(1, 25):
        # one more stands still every second, from the first one's second on
        counters = {f"w{number}": min(beat, 2 * number + 1) if number < 4 else beat for number in range(8)}
        assert watching.look(**counters)[1] == []
    assert watching.heartbeats.held >= 3


def test_counter_that_goes_back_is_a_sign_of_life_too():
    watching = Watch()
    watching.look(w1=7)
    watching.silence(2.0, w1=7)
    assert watching.look(w1=3) == ([WorkerTrusted("w1")], [])


def test_gap_in_watching_is_not_the_workers_fault():
    watching = Watch()
    watching.look(w1=7)
    watching.silence(1.5, w1=7)
    assert watching.look(60.0, w1=7) == ([], [])
    assert watching.silence(1.5, w1=7) == ([], [])
    assert watching.look(w1=7) == ([WorkerSuspected("w1")], [])


def test_silence_does_not_count_while_the_store_takes_nothing():
    beats = Beats(2.0)
    watching = Watch()
    watching.heartbeats = Heartbeats(2.0, 5.0, beats=beats)
    watching.look(w1=7)
    watching.silence(1.0, w1=7)
    beats.refused()
    assert watching.silence(30.0, w1=7) == ([], [])  # reads are answered all the time
    assert watching.look(w1=7, w2=0) == ([], [])  # who is new meanwhile is not silent for less than nothing
    beats.taken()
    assert watching.look(w1=7, w2=0) == ([], [])  # it was refused since the last look
    assert watching.look(w1=7, w2=1) == ([], [])
    assert watching.look(w1=7, w2=2) == ([WorkerSuspected("w1")], [])
    assert watching.silence(2.5, w1=7)[1] == []
    assert watching.look(w1=7) == ([], [("w1", 7)])


def test_worker_that_is_gone_is_forgotten_and_starts_anew():
    watching = Watch()
    watching.look(w1=7)
    watching.silence(2.0, w1=7)
    assert watching.look() == ([], [])
    assert watching.look(w1=7) == ([], [])
    assert watching.silence(1.5, w1=7) == ([], [])
    assert watching.look(w1=7) == ([WorkerSuspected("w1")], [])


def test_suspect_of_the_former_leader_is_trusted_at_its_next_beat():
    watching = Watch("w1")
    assert watching.look(w1=7) == ([], [])  # seen for the first time: nobody knows when it last beat
    assert watching.look(w1=8) == ([WorkerTrusted("w1")], [])


def test_suspect_of_the_former_leader_that_stays_silent_dies():
    watching = Watch("w1")
    watching.look(w1=7)
    events, dead = watching.silence(5.0, w1=7)
    assert (events, dead) == ([], [("w1", 7)])


# -- reaping


@pytest.fixture
def shard() -> MemoryShard:
    return MemoryShard(lambda: 1_000)


def take_lease(shard: MemoryShard) -> Lease:
    lease = shard.acquire("me", "nonce", None)
    assert isinstance(lease, Lease)
    return lease


def fill_inbox(shard: MemoryShard, lease: Lease, worker: str, count: int) -> None:
    shard.register(worker, b"\x80")
    names = [f"t{number}" for number in range(count)]
    shard.submit([SubmitLine(name, 5, b"\x81\xa4type\xa1k", b"") for name in names], "", 10**6, 10**9)
    lines = [DispatchLine(worker, name, 1) for name in names]
    shard.commit(lease, 0, CommitPlan(b"", {}, {}, lines, [], [], []), publish=False)


class ForgetfulStore(MemoryLeaderStore):
    """Loses the connection after the first reap of several."""

    reaps = 0

    async def reap(self, lease: Lease, worker: str, beat: int, limit: int):
        self.reaps += 1
        if self.reaps == 2:
            raise StoreUnreachable("broken on purpose")
        return await super().reap(lease, worker, beat, limit)


async def until(condition, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def test_inbox_of_a_dead_worker_is_cleared_although_the_store_failed_in_between(shard: MemoryShard):
    async def story():
        lease, store = take_lease(shard), ForgetfulStore(shard)
        fill_inbox(shard, lease, "w1", 250)
        watching = asyncio.ensure_future(watch(store, lease, LoopClock(), Heartbeats(2, 5), 2_000, lambda _: None))
        await until(lambda: len(shard.streams["i:w1"]) == 0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert len(shard.streams["q:r"]) == 250
        assert store.reaps == 4

    virtually(story())


def test_inbox_that_a_former_leader_left_half_cleared_is_cleared(shard: MemoryShard):
    async def story():
        lease, store = take_lease(shard), MemoryLeaderStore(shard)
        fill_inbox(shard, lease, "w1", 150)
        shard.reap(lease, "w1", shard.beats["w1"], 100)
        incarnation = shard.register("w2", b"\x80")
        watching = asyncio.ensure_future(
            watch(store, lease, LoopClock(), Heartbeats(2, 5), 2_000, lambda _: None, ["w1", "w2"])
        )
        await until(lambda: len(shard.streams["q:r"]) == 150)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert (len(shard.streams["i:w1"]), shard.workers["w2"].incarnation) == (0, incarnation)

    virtually(story())


def test_inbox_of_a_worker_that_left_is_cleared_of_what_crossed_its_leaving(shard: MemoryShard):
    async def story():
        lease, store = take_lease(shard), MemoryLeaderStore(shard)
        incarnation = shard.register("w1", b"")
        watching = asyncio.ensure_future(watch(store, lease, LoopClock(), Heartbeats(2, 5), 2_000, lambda _: None))
        await asyncio.sleep(1.2)
        shard.leave("w1", incarnation)
        shard.commit(lease, 0, CommitPlan(b"", {}, {}, [DispatchLine("w1", "t0", 1)], [], [], []), publish=False)
        assert len(shard.streams["i:w1"]) == 1
        await until(lambda: not len(shard.streams["i:w1"]), 2.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    virtually(story())


def test_inbox_of_a_worker_that_came_and_went_between_two_looks_is_cleared(shard: MemoryShard):
    async def story():
        lease, store, departed = take_lease(shard), MemoryLeaderStore(shard), {"w1": 7}
        shard.leave("w1", shard.register("w1", b""))
        shard.commit(lease, 0, CommitPlan(b"", {}, {}, [DispatchLine("w1", "t0", 1)], [], [], []), publish=False)
        looks = watch(store, lease, LoopClock(), Heartbeats(2, 5), 2_000, lambda _: None, departed=departed)
        watching = asyncio.ensure_future(looks)
        await until(lambda: not len(shard.streams["i:w1"]), 2.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    virtually(story())


def test_watch_ends_when_the_lease_is_lost(shard: MemoryShard):
    async def story():
        lease = take_lease(shard)
        shard.register("w1", b"\x80")
        other = asyncio.ensure_future(
            watch(MemoryLeaderStore(shard), lease, LoopClock(), Heartbeats(2, 5), 2_000, lambda _: None)
        )
        take_lease(shard)
        with pytest.raises(Fenced):
            await asyncio.wait_for(other, 60)

    virtually(story())


def test_worker_that_may_be_silent_for_longer_is_given_the_time():
    watching = Watch()
    watching.heartbeats = Heartbeats(2.0, 5.0, silence_s={"patient": 30.0, "hasty": 1.0}.get)  # 6 times as long
    watching.look(patient=7, hasty=7)
    events, dead = watching.silence(11.5, patient=7, hasty=7)
    assert events == [WorkerSuspected("hasty")]  # a worker cannot make itself wait for less than others
    assert {worker for worker, _ in dead} == {"hasty"}
    assert watching.look(patient=7) == ([WorkerSuspected("patient")], [])
    assert watching.silence(17.5, patient=7) == ([], [])
    assert watching.look(patient=7) == ([], [("patient", 7)])
