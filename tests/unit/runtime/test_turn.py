"""The turn loop: two commits under way, no turn on a lease that may have run out, checkpoints and digests in time."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.core.engine import Engine
from nexus_sched.errors import Fenced, StoreUnreachable
from nexus_sched.model.effects import Noticed
from nexus_sched.model.events import (
    AnyEvent,
    EstimatePinned,
    ModeChanged,
    PredictorChosen,
    WorkerSuspected,
    WorkerTripped,
)
from nexus_sched.model.journal import decode_turn
from nexus_sched.model.settings import SHADOW, EngineSettings
from nexus_sched.model.task import Task
from nexus_sched.model.worker import WorkerStanding
from nexus_sched.runtime.checkpoints import CHECKPOINT_EVENTS, CHECKPOINT_IDLE_EVENTS, CHECKPOINT_PAUSE_S, QUIET_S
from nexus_sched.runtime.guard import Guard
from nexus_sched.runtime.intake import Inputs
from nexus_sched.runtime.picture import paint
from nexus_sched.runtime.ports import INPUT_STREAMS, CommitPlan, Lease
from nexus_sched.runtime.recovery import Recovered, restore_checkpoint
from nexus_sched.runtime.turn import DIGEST_EVERY, IN_FLIGHT_MAX, TOLD_MAX, TurnLoop
from nexus_sched.testing.builders import PREDICTORS, ToldPredictor, draining, finished, joined, task
from nexus_sched.testing.builders import submitted as built
from nexus_sched.testing.virtual_time import LoopClock, virtually


def submitted(what: Task | str):
    """Under an entry id that a store could have given."""
    return built(what, "1-0")


@pytest.fixture(autouse=True)
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads know nothing of virtual time: checkpoints are packed within the loop."""
    monkeypatch.setattr("nexus_sched.runtime.recovery.COMPRESS_INLINE_BYTES_MAX", 10**9)


class Slow(MemoryLeaderStore):
    """Answers a commit after `delay_s`; counts how many are under way."""

    def __init__(self, shard: MemoryShard, delay_s: float = 0.0) -> None:
        super().__init__(shard)
        self.delay_s, self.under_way, self.most, self.snapshots_saved = delay_s, 0, 0, 0

    def commit(self, lease: Lease, seq: int, plan: CommitPlan):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return asyncio.ensure_future(self._answer(super().commit(lease, seq, plan)))

    async def _answer(self, sent) -> int:
        try:
            await asyncio.sleep(self.delay_s)
            return await sent
        finally:
            self.under_way -= 1

    async def save_snapshot(self, lease: Lease, seq: int, blob: bytes) -> None:
        self.snapshots_saved += 1
        await super().save_snapshot(lease, seq, blob)


EMA = EngineSettings(predictor="ema")


async def trusted(lease: Lease) -> None:
    """A lease that never runs out."""


class Led:
    """A turn loop with hands on its inputs."""

    def __init__(self, delay_s: float = 0.0, confirm=trusted) -> None:
        self.shard = MemoryShard(LoopClock().wall_ms)
        self.store = Slow(self.shard, delay_s)
        lease = self.shard.acquire("me", "nonce", None)
        assert isinstance(lease, Lease)
        self.lease = lease
        self.inputs = Inputs(self.store, {})
        state = Recovered(Engine(PREDICTORS, EMA), dict.fromkeys(INPUT_STREAMS, "0-0"), 0, 0)
        self.loop = TurnLoop(self.store, lease, state, self.inputs, Guard(), LoopClock(), confirm)
        self.running = asyncio.ensure_future(self.loop.run(EMA))

    async def feed(self, *events: AnyEvent) -> None:
        self.inputs.feed(list(events))
        await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.loop.stop()
        await self.running
        await self.loop.bequeath()

    def turns(self):
        return [decode_turn(fields[1]) for _, fields in self.shard.streams["ev"].after((0, 0), 10**6)]


def test_two_commits_are_under_way_and_no_more():
    async def story():
        led = Led(delay_s=0.05)
        for number in range(40):
            await led.feed(submitted(f"t{number}"))
        await asyncio.sleep(1)
        await led.stop()
        assert led.store.most == IN_FLIGHT_MAX == 2
        assert [turn.seq for turn in led.turns()] == list(range(1, led.loop.engine.seq + 1))
        assert len(led.loop.engine.tasks) == 40
        assert led.loop.seq_written == led.loop.engine.seq

    virtually(story())


def test_inputs_that_wait_are_decided_in_one_turn():
    async def story():
        led = Led(delay_s=0.05)
        await led.feed(joined("w1", slots=300))
        for number in range(100):
            led.inputs.feed([submitted(f"t{number}")])
        await asyncio.sleep(1)
        assert len(led.turns()) <= 4
        await led.stop()

    virtually(story())


def test_work_beyond_one_turn_goes_on_without_inputs():
    async def story():
        led = Led()
        await led.feed(*(joined(f"w{number}", slots=2) for number in range(300)))
        await led.feed(*(submitted(f"t{number}") for number in range(600)))
        assert [len(turn.effects) for turn in led.turns()][2:] == [256, 256, 88]
        await led.stop()

    virtually(story())


def test_no_turn_is_taken_on_a_lease_that_may_have_run_out():
    async def story():
        async def confirm(lease: Lease) -> None:
            raise Fenced("too late")

        led = Led(confirm=confirm)
        await led.feed(submitted("t1"))
        with pytest.raises(Fenced, match="too late"):
            await led.running
        assert len(led.turns()) == 1  # the beginning of the epoch, which the store itself fences

    virtually(story())


def test_commit_that_fails_while_idle_ends_the_leadership():
    async def story():
        led = Led()
        await led.feed()
        led.shard.nonce = "somebody else's"
        led.inputs.feed([submitted("t1")])
        with pytest.raises(Fenced):
            await led.running

    virtually(story())


def test_snapshot_that_cannot_be_written_ends_the_leadership():
    async def story():
        led = Led()

        async def broken(*_):
            raise StoreUnreachable("gone")

        led.store.save_snapshot = broken  # type: ignore[method-assign]  # broken on purpose
        led.inputs.feed([submitted(f"t{number}") for number in range(CHECKPOINT_IDLE_EVENTS)])
        with pytest.raises(StoreUnreachable):
            await led.running

    virtually(story())


def test_checkpoint_that_cannot_be_left_behind_is_no_fault():
    async def story():
        led = Led()

        async def broken(*_):
            raise StoreUnreachable("gone")

        led.store.offer_snapshot = broken  # type: ignore[method-assign]  # broken on purpose
        await led.feed(submitted("t1"))
        await led.stop()
        assert led.shard.kept == (None, None)

    virtually(story())


def test_checkpoint_is_left_to_a_standby_that_writes_them_and_written_again_once_it_is_gone():
    async def story():
        led = Led()
        led.inputs.feed([submitted(f"t{number}") for number in range(CHECKPOINT_IDLE_EVENTS // 2)])
        await asyncio.sleep(2 * QUIET_S)
        seq = led.loop.engine.seq
        turn = led.shard.streams["ev"].after((seq - 1, 0), 1)[0][1][1]
        assert led.shard.offer_snapshot(seq, turn, b"by a standby")
        for _ in range(4):  # more than twice what makes a leader write when nobody else does
            led.inputs.feed([WorkerSuspected("nobody")] * CHECKPOINT_IDLE_EVENTS)
            await asyncio.sleep(2 * QUIET_S)
        assert (led.store.snapshots_saved, led.shard.kept[0]) == (0, seq)
        for _number in range(CHECKPOINT_EVENTS // 10_000):
            led.inputs.feed([WorkerSuspected("nobody")] * 10_000)
            await asyncio.sleep(2 * QUIET_S)
        assert led.store.snapshots_saved >= 1
        await led.stop()

    virtually(story())


def test_checkpoint_is_written_when_idle_and_enough_has_happened():
    async def story():
        led = Led()
        for number in range(CHECKPOINT_IDLE_EVENTS - 2):
            led.inputs.feed([submitted(f"t{number}")])
        await asyncio.sleep(1)
        assert led.store.snapshots_saved == 0
        await led.feed(submitted("more"))
        await asyncio.sleep(1)
        assert (led.store.snapshots_saved, led.shard.kept[0]) == (1, led.loop.engine.seq)
        await led.stop()
        assert led.store.snapshots_saved == 1  # nothing new to write

    virtually(story())


def test_checkpoint_waits_for_a_quiet_moment_but_not_for_ever():
    async def story():
        led = Led(delay_s=0.01)
        led.inputs.feed([WorkerSuspected("nobody")] * CHECKPOINT_IDLE_EVENTS)
        for _ in range(int(0.9 * CHECKPOINT_PAUSE_S / (QUIET_S / 2))):
            led.inputs.feed([WorkerSuspected("nobody")])
            await asyncio.sleep(QUIET_S / 2)
        assert led.store.snapshots_saved == 0
        for _ in range(int(0.2 * CHECKPOINT_PAUSE_S / (QUIET_S / 2))):
            led.inputs.feed([WorkerSuspected("nobody")])
            await asyncio.sleep(QUIET_S / 2)
        assert led.store.snapshots_saved == 1
        await led.stop()

    virtually(story())


def test_checkpoint_holds_up_no_turn():
    async def story():
        led = Led(delay_s=0.01)

        async def keep_slowly(lease: Lease, seq: int, blob: bytes) -> None:
            await asyncio.sleep(10.0)
            await Slow.save_snapshot(led.store, lease, seq, blob)

        led.store.save_snapshot = keep_slowly  # type: ignore[method-assign]  # a store that takes its time
        led.inputs.feed([submitted(f"t{number}") for number in range(CHECKPOINT_IDLE_EVENTS)])
        await asyncio.sleep(3 * QUIET_S)
        covered = led.loop.engine.seq
        await led.feed(submitted("more"))
        await asyncio.sleep(1.0)
        assert led.loop.seq_written == led.loop.engine.seq == covered + 1
        assert led.store.snapshots_saved == 0, "it is under way"
        await led.stop()
        assert led.store.snapshots_saved == 1, "stopping waits for it"
        assert restore_checkpoint(led.shard.snapshots[covered], PREDICTORS).engine.seq == covered

    virtually(story())


def test_checkpoint_of_a_turn_that_was_never_written_is_not_sent():
    async def story():
        led = Led(delay_s=1.0)
        led.inputs.feed([WorkerSuspected("nobody")] * (CHECKPOINT_EVENTS + 1))
        await asyncio.sleep(0.5)  # the begin of the epoch is under way, the turn behind it will be refused
        led.shard.nonce = "somebody else's"
        with pytest.raises(Fenced):
            await led.running
        assert led.store.snapshots_saved == 0

    virtually(story())


@pytest.mark.parametrize("shadow", [True, False], ids=["candidate", "active"])
def test_predictor_that_cannot_be_written_down_leaves_by_an_event_and_the_checkpoint_follows(shadow: bool):
    async def story():
        led = Led()
        forecasts = led.loop.engine.forecasts
        others = ToldPredictor(lambda _: None)
        others.snapshot = lambda: 1 // 0
        if shadow:
            forecasts.shadow = others
        else:
            forecasts.active, forecasts.baseline = others, forecasts.active
        await led.feed(*(ModeChanged(SHADOW) for _ in range(CHECKPOINT_IDLE_EVENTS)))
        await asyncio.sleep(5.0)
        assert led.store.snapshots_saved == 1
        assert (forecasts.active.name, forecasts.shadow) == ("ema", None)
        chosen = [event for turn in led.turns() for event in turn.events if type(event) is PredictorChosen]
        assert chosen == [*([] if shadow else [PredictorChosen("ema")]), PredictorChosen("", shadow=True)]
        await led.stop()

    virtually(story())


def test_digest_is_recorded_every_1024_turns():
    async def story():
        led = Led()
        for number in range(2 * DIGEST_EVERY):
            led.inputs.feed([finished(f"nobody{number}")])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        with_digest = [turn.seq for turn in led.turns() if turn.digest is not None]
        assert with_digest == [DIGEST_EVERY, 2 * DIGEST_EVERY]
        await led.stop()

    virtually(story())


def test_instants_of_turns_follow_the_clock():
    async def story():
        led = Led()
        for _ in range(5):
            await led.feed(submitted("t1"))
        instants = [turn.at_ns for turn in led.turns()]
        assert instants == sorted(instants)
        assert instants[-1] - instants[0] == 40_000_000
        await led.stop()

    virtually(story())


def test_picture_shows_workers_and_work():
    async def story():
        led = Led()
        await led.feed(joined("w1"), joined("w2"), joined("w3", slots=2), submitted(task("t0", hint_ms=40.0)))
        expired, standing = (EstimatePinned(name, 5.0, 1.0, until, "", "") for name, until in (("a", 0), ("b", 10**15)))
        await led.feed(draining("w1"), WorkerSuspected("w2"), standing, expired)
        for number in range(1, 6):
            await led.feed(submitted(task(f"t{number}", hint_ms=40.0)))
        frame = paint("pool", 3, led.lease, led.loop, LoopClock().wall_ms() + 500)
        assert (frame.pool, frame.shard, frame.owner, frame.epoch, frame.mode) == ("pool", 3, "me", 1, "predictive")
        assert (frame.queued, frame.in_flight, frame.queued_predicted_ms) == (2, 4, 80.0)
        assert (frame.workers_live, frame.workers_accepting, frame.predictions_within_25) == (3, 1, None)
        assert [(each.worker, each.standing, each.in_flight, each.booked_ms) for each in frame.workers] == [
            ("w1", WorkerStanding.DRAINING, 1, 61.5),  # overdue after 41 ms: half of that is still to come
            ("w2", WorkerStanding.SUSPECT, 0, 0.0),
            ("w3", WorkerStanding.ACCEPTING, 3, 141.5),  # one of the three as well
        ]
        assert all(each.heard_age_ms >= 500.0 for each in frame.workers)
        assert frame.decision_us.count == 4
        assert frame.pins == [standing]
        await led.stop()

    virtually(story())


def test_change_of_mode_starts_the_decision_times_anew():
    async def story():
        led = Led()
        await led.feed(joined("w1"), submitted("t1"))
        assert led.loop.decision_ns.count == 1
        await led.feed(ModeChanged(SHADOW))
        assert led.loop.decision_ns.count == 0
        await led.stop()

    virtually(story())


def test_people_are_told_of_a_number_of_notices_a_second_and_how_many_more_there_were():
    async def story():
        led = Led()
        unknown = [WorkerTripped("nobody", "", "me")] * (TOLD_MAX + 30)
        await led.feed(*unknown)
        await led.feed(*unknown)
        await asyncio.sleep(2.0)
        await led.feed(unknown[0])
        await led.stop()
        return led.turns()

    with capture_logs() as told_of:
        turns = virtually(story())
    assert sum(type(effect) is Noticed for turn in turns for effect in turn.effects) == 2 * (TOLD_MAX + 30) + 1
    said = [(line["event"], line.get("count")) for line in told_of if line["event"].startswith("noticed")]
    assert said == [("noticed", None)] * TOLD_MAX + [("noticed more", TOLD_MAX + 60), ("noticed", None)]
