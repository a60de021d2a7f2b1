"""Turns that nothing but the clock asks for: in time, seldom, and undisturbed by a wall clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nexus_sched.adapters.memory import MemoryLeaderStore, MemoryShard
from nexus_sched.core.engine import Engine
from nexus_sched.model.effects import AnyEffect
from nexus_sched.model.events import AnyEvent
from nexus_sched.model.journal import decode_turn
from nexus_sched.runtime.guard import Guard
from nexus_sched.runtime.intake import Inputs
from nexus_sched.runtime.ports import INPUT_STREAMS, Lease
from nexus_sched.runtime.recovery import Recovered
from nexus_sched.runtime.turn import ALARM_PAUSE_NS, ALARM_S_MAX, TurnLoop
from nexus_sched.testing.builders import PREDICTORS, finished
from nexus_sched.testing.virtual_time import LoopClock, virtually
from nexus_sched.units import NS_PER_MS


class Appointed(Engine):
    """An engine with appointments that its test makes; what has passed in a turn is struck off."""

    def __init__(self) -> None:
        super().__init__(PREDICTORS)
        self.appointments_ms: list[int] = []
        self.kept_ms: list[int] = []  # instants of turns in which something was due
        self.stubborn = False  # never strikes anything off

    @property
    def next_due_ms(self) -> int | None:
        return min(self.appointments_ms, default=None)

    def handle(self, events: Sequence[AnyEvent], at_ns: int) -> list[AnyEffect]:
        effects = super().handle(events, at_ns)
        if any(due_ms <= self.now_ms for due_ms in self.appointments_ms):
            self.kept_ms.append(self.now_ms)
            if not self.stubborn:
                self.appointments_ms = [due_ms for due_ms in self.appointments_ms if due_ms > self.now_ms]
        return effects


class JumpingClock(LoopClock):
    """A wall clock that somebody sets."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms


async def trusted(lease: Lease) -> None:
    """A lease that never runs out."""


class Led:
    """A turn loop with appointments."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.shard = MemoryShard(LoopClock().wall_ms)
        store = MemoryLeaderStore(self.shard)
        lease = self.shard.acquire("me", "nonce", None)
        assert isinstance(lease, Lease)
        self.inputs = Inputs(store, {})
        self.engine = Appointed()
        state = Recovered(self.engine, dict.fromkeys(INPUT_STREAMS, "0-0"), 0, 0)
        self.loop = TurnLoop(store, lease, state, self.inputs, Guard(), self.clock, trusted)
        self.running = asyncio.ensure_future(self.loop.run(self.engine.settings))

    @property
    def now_ms(self) -> int:
        return self.clock.wall_ms()

    def appoint(self, *in_ms: int) -> list[int]:
        instants_ms = [self.now_ms + each for each in in_ms]
        self.engine.appointments_ms += instants_ms
        self.inputs.arrived.set()  # what makes appointments is an input
        return instants_ms

    def turns(self):
        return [decode_turn(fields[1]) for _, fields in self.shard.streams["ev"].after((0, 0), 10**6)]

    async def stop(self) -> None:
        self.loop.stop()
        await self.running


def test_appointments_are_kept_to_the_millisecond_with_one_turn_each():
    async def story():
        led = Led()
        await asyncio.sleep(0.1)
        due_ms = led.appoint(7, 40, 41, 5_000, 90_000)
        await asyncio.sleep(100)
        assert led.engine.kept_ms == due_ms
        assert len(led.turns()) == 1 + len(due_ms)  # the first began the epoch
        assert [turn.at_ns // NS_PER_MS for turn in led.turns()][1:] == due_ms
        await led.stop()

    virtually(story())


def test_nothing_due_means_no_turn():
    async def story():
        led = Led()
        led.appoint(10**9)
        await asyncio.sleep(3_600)
        assert len(led.turns()) == 1
        await led.stop()

    virtually(story())


def test_appointments_are_kept_between_inputs():
    async def story():
        led = Led()
        due_ms = led.appoint(*range(50, 1_000, 50))
        for number in range(100):
            led.inputs.feed([finished(f"nobody{number}")])
            await asyncio.sleep(0.01)
        assert len(led.engine.kept_ms) == len(due_ms)
        assert all(0 <= kept - due <= 10 for kept, due in zip(led.engine.kept_ms, due_ms, strict=True))
        await led.stop()

    virtually(story())


def test_what_stays_due_does_not_keep_the_processor_busy():
    async def story():
        led = Led()
        led.engine.stubborn = True
        led.appoint(10)
        await asyncio.sleep(1.01)
        pauses_ns = [b.at_ns - a.at_ns for a, b in zip(led.turns()[1:], led.turns()[2:], strict=False)]
        assert min(pauses_ns) >= ALARM_PAUSE_NS
        assert len(pauses_ns) <= 1_000
        await led.stop()

    virtually(story())


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000, 500, -500])
def test_jump_of_the_wall_clock_delays_nothing_by_more_than_its_double(jump_ms: int):
    async def story():
        led = Led()
        await asyncio.sleep(0.1)
        led.appoint(10_000)
        began_s = led.clock.monotonic_s()
        await asyncio.sleep(1)
        led.clock.ahead_ms = jump_ms
        while not led.engine.kept_ms:
            await asyncio.sleep(0.1)
        took_s = led.clock.monotonic_s() - began_s
        assert took_s <= min(20.0, 10.0 + max(0, -jump_ms) / 1_000) + ALARM_S_MAX
        if jump_ms >= 10_000:
            assert took_s <= 1.1 + ALARM_S_MAX  # it says that the time has come
        await led.stop()

    virtually(story())
