"""One party's ways to the store: two connections a way, one for commands and one for reads that wait.

There is one way to each shard, and one to what is known of the pool as a whole, if there are several shards.

Law of a connection, which is TCP's: requests arrive in the order in which they were sent, or none behind a lost one
does; replies come in the same order. What was sent may still be applied after the party has given the connection up,
and has sent other things over a new one. Whoever waits on a connection that breaks gets `StoreUnreachable`, and cannot
know whether what it asked for was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from nexus_sched.errors import NexusError, StoreUnreachable
from nexus_sched.units import MS_PER_S
from tests.shell.party import PartyLoop
from tests.shell.server import Server

COMMANDS, WAITS = 0, 1  # the two connections of a way; those of way `n` are numbers `2 n` and `2 n + 1`
TIMEOUT_S = 1.0  # of a connection on which nothing comes back
LATE_S_MAX = 4.0  # how long bytes of a connection that was given up may still be under way
LATE_SHARE = 0.4  # of requests on a broken connection: they arrive all the same, if those before them do


class Weather(Struct):
    """How a way to the store is at the moment."""

    delay_s: float = 0.0005  # one way, on average
    slow_share: float = 0.0  # of messages that take `slow_s` more
    slow_s: float = 0.0
    loss_share: float = 0.0  # of requests or replies with which the connection breaks
    cut: bool = False  # nothing passes; connections time out


class Call(Struct, eq=False):
    """One request under way."""

    operation: str
    method: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    lane: int
    generation: int
    age: int  # of the server that it is meant for
    wait_ms: int
    streams: Sequence[str]
    sent: bool = False  # an act of nature will bring it
    arrived: bool = False
    lost: bool = False


class Link:
    """The connections of one party."""

    def __init__(self, loop: PartyLoop, server: Server, ways: int = 1) -> None:
        self._lanes = range(2 * ways)
        self.weather = Weather()
        self.closed = False
        self.on_call: Callable[[str], None] = lambda _: None
        self._loop = loop
        self._world = loop.world
        self._server = server
        self._calls: list[list[Call]] = [[] for _ in self._lanes]
        self._replies: list[list[tuple[Call, object]]] = [[] for _ in self._lanes]  # held back by a cut
        self._generations = [0 for _ in self._lanes]
        self._stalled = [False for _ in self._lanes]
        self._arrives_s = [0.0 for _ in self._lanes]
        self._replies_s = [0.0 for _ in self._lanes]
        self._listeners: list[list[Callable[[], None]]] = [[] for _ in self._lanes]

    # -- the party's side

    def call(
        self,
        operation: str,
        method: Callable[..., Any],
        *args: Any,
        way: int = 0,
        wait_ms: int = 0,
        streams: Sequence[str] = (),
    ) -> asyncio.Future[Any]:
        """Send a request at once; the future has its reply, or an error."""
        future = self._loop.create_future()
        if self.closed:
            self._fail(future)
            return future
        lane = 2 * way + (WAITS if streams else COMMANDS)
        call = Call(operation, method, args, future, lane, self._generations[lane], self._server.age, wait_ms, streams)
        self._calls[lane].append(call)
        self.on_call(operation)
        if not self._blocked(lane) and self._chance(self.weather.loss_share):
            self._stall(lane)
        if not self._blocked(lane):
            self._send(call)
        elif self.weather.cut:
            self._time_out(lane)
        return future

    def listen(
        self,
        subscribe: Callable[[Callable[[bytes], None]], Callable[[], None]],
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
        way: int = 0,
    ) -> None:
        """Hear what is published, until the connection breaks."""
        lane = 2 * way + WAITS
        generation = self._generations[lane]

        def tell(message: bytes) -> None:
            if generation == self._generations[lane]:
                self._loop.call_soon(heard, message)

        def bring(message: bytes) -> None:
            if generation == self._generations[lane] and not self.weather.cut:
                self._world.after(self._delay(), lambda: tell(message))

        end = subscribe(bring)

        def broken() -> None:
            end()
            if not self.closed:
                self._loop.call_soon(lost)

        self._listeners[lane].append(broken)

    # -- what may happen to it

    def cut(self) -> None:
        """Nothing passes any more."""
        self.weather.cut = True
        for lane in self._lanes:
            self._time_out(lane)

    def heal(self) -> None:
        """What was held back passes now."""
        self.weather = Weather()
        for lane in self._lanes:
            if self._stalled[lane]:
                continue
            for call in self._calls[lane]:
                if not call.sent:
                    self._send(call)
            held, self._replies[lane] = self._replies[lane], []
            for call, answer in held:
                self._reply(call, answer)

    def break_off(self, *, late: bool) -> None:
        """All connections break; with `late`, what is under way may still arrive."""
        for lane in self._lanes:
            self._break(lane, late=late)

    def lose_server(self, skew_s: float) -> None:
        """Another server takes the place of this one; all connections but one notice that a moment later."""
        first = self._world.random.choice(self._lanes)
        self._break(first, late=False)
        for lane in self._lanes:
            if lane != first:
                self._stalled[lane] = True
                self._world.after(skew_s, partial(self._notice, lane, self._generations[lane]))

    def _notice(self, lane: int, generation: int) -> None:
        if generation == self._generations[lane]:
            self._break(lane, late=False)

    def close(self) -> None:
        """The party is gone. What it sent before is still under way."""
        self.closed = True
        for lane in self._lanes[COMMANDS::2]:
            for call in self._calls[lane]:
                if not call.sent and not self._chance(LATE_SHARE):
                    break
                if not call.sent:
                    self._send(call)
        self._calls = [[] for _ in self._lanes]
        for lane in self._lanes:
            self._end_listening(lane)

    def _end_listening(self, lane: int) -> None:
        listeners, self._listeners[lane] = self._listeners[lane], []
        for end in listeners:
            end()

    def _stall(self, lane: int) -> None:
        self._stalled[lane] = True
        generation = self._generations[lane]

        def over() -> None:
            if generation == self._generations[lane]:
                self._break(lane, late=True)

        self._world.after(self._world.random.uniform(0.0, TIMEOUT_S / 2), over)

    def _time_out(self, lane: int) -> None:
        if not self._calls[lane]:
            return
        generation = self._generations[lane]

        def over() -> None:
            if self.weather.cut and generation == self._generations[lane]:
                self._break(lane, late=True)

        self._world.after(TIMEOUT_S, over)

    def _break(self, lane: int, *, late: bool) -> None:
        self._generations[lane] += 1
        self._stalled[lane] = False
        self._replies[lane].clear()
        calls, self._calls[lane] = self._calls[lane], []
        arrives_s = self._world.now_s
        passing = late
        for call in calls:
            if not call.arrived:
                passing = passing and self._chance(LATE_SHARE)
                call.lost = not passing
                if passing:
                    call.sent = True
                    arrives_s += self._world.random.uniform(0.0, LATE_S_MAX)
                    self._world.at(arrives_s, lambda call=call: self._arrive_late(call))
            if not self.closed:
                self._fail(call.future)
        self._end_listening(lane)

    def _arrive_late(self, call: Call) -> None:
        if not call.arrived and call.age == self._server.age:
            call.arrived = True
            self._server.apply(f"{self._loop.name} (late)", call.operation, call.method, call.args)

    # -- messages

    def _blocked(self, lane: int) -> bool:
        return self._stalled[lane] or self.weather.cut

    def _chance(self, share: float) -> bool:
        return share > 0.0 and self._world.random.random() < share

    def _delay(self) -> float:
        weather = self.weather
        delay_s = weather.delay_s * self._world.random.uniform(0.2, 1.8)
        return delay_s + weather.slow_s * self._world.random.random() if self._chance(weather.slow_share) else delay_s

    def _send(self, call: Call) -> None:
        call.sent = True
        lane = call.lane
        self._arrives_s[lane] = max(self._arrives_s[lane], self._world.now_s + self._delay())
        self._world.at(self._arrives_s[lane], lambda: self._arrive(call))

    def _arrive(self, call: Call) -> None:
        if call.lost or call.arrived or call.age != self._server.age:
            return
        if self.weather.cut and not self.closed:
            call.sent = False  # it is repeated when the way is free again
            return
        call.arrived = True
        answer = self._server.apply(self._loop.name, call.operation, call.method, call.args)
        if call.wait_ms and not isinstance(answer, NexusError) and not answer:
            self._wait(call)
        else:
            self._answer(call, answer)

    def _wait(self, call: Call) -> None:
        """Ask again when a stream has grown, and once more when the time is over."""
        waiting = True

        def ask_again(last: bool) -> None:
            nonlocal waiting
            if not waiting:
                return
            if call.generation != self._generations[call.lane] or self.closed:
                waiting = False
                end()
                return
            answer = self._server.apply(self._loop.name, call.operation, call.method, call.args)
            if last or answer:
                waiting = False
                end()
                self._answer(call, answer)

        end = self._server.pool.bus.watch(call.streams, lambda: self._world.after(0.0, lambda: ask_again(False)))
        self._world.after(call.wait_ms / MS_PER_S, lambda: ask_again(True))

    def _answer(self, call: Call, answer: object) -> None:
        lane = call.lane
        if self.closed or call.generation != self._generations[lane]:
            return
        if not self._blocked(lane) and self._chance(self.weather.loss_share):
            self._stall(lane)
        if self._blocked(lane):
            self._replies[lane].append((call, answer))
        else:
            self._reply(call, answer)

    def _reply(self, call: Call, answer: object) -> None:
        lane = call.lane
        self._replies_s[lane] = max(self._replies_s[lane], self._world.now_s + self._delay())
        self._world.at(self._replies_s[lane], lambda: self._deliver(call, answer))

    def _deliver(self, call: Call, answer: object) -> None:
        lane = call.lane
        if self.closed or call.generation != self._generations[lane]:
            return
        if self._blocked(lane):
            self._replies[lane].append((call, answer))
            return
        self._calls[lane].remove(call)
        if call.future.done():
            return  # nobody waits for it any more
        if isinstance(answer, NexusError):
            call.future.set_exception(answer)
            call.future._log_traceback = False  # whoever sent it may be gone
        else:
            call.future.set_result(answer)

    def _fail(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            future.set_exception(StoreUnreachable("the connection is lost"))
            future._log_traceback = False
