"""Who waits for what: blocking reads of streams, and listeners of channels. One event loop only."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from nexus_sched.units import MS_PER_S


class Bus:
    """Wakes readers when a stream has grown, and hands published messages to listeners."""

    def __init__(self) -> None:
        # in the order in which they began to wait, so that a seeded run repeats
        self._waiting: defaultdict[str, dict[object, Callable[[], None]]] = defaultdict(dict)
        self._listeners: defaultdict[str, list[Callable[[bytes], None]]] = defaultdict(list)

    def wake(self, stream: str) -> None:
        """Tell whoever waits for the stream that it has grown."""
        for told in tuple(self._waiting.get(stream, {}).values()):
            told()

    def watch(self, streams: Sequence[str], told: Callable[[], None]) -> Callable[[], None]:
        """Call `told` whenever one of the streams has grown; gives what ends that."""
        token = object()
        for stream in streams:
            self._waiting[stream][token] = told

        def end() -> None:
            for stream in streams:
                self._waiting[stream].pop(token, None)

        return end

    async def wait(self, streams: Sequence[str], timeout_ms: int) -> None:
        """Returns when one of the streams has grown, or after `timeout_ms`."""
        event = asyncio.Event()
        end = self.watch(streams, event.set)
        try:
            async with asyncio.timeout(timeout_ms / MS_PER_S):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            end()

    def subscribe(self, channel: str, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with every message published on `channel` from now on."""
        self._listeners[channel].append(listener)

    def unsubscribe(self, channel: str, listener: Callable[[bytes], None]) -> None:
        """Undo `subscribe`."""
        self._listeners[channel].remove(listener)

    def publish(self, channel: str, message: bytes) -> None:
        """Hand a message to the channel's listeners; without any it is lost."""
        for listener in tuple(self._listeners.get(channel, ())):
            listener(message)
