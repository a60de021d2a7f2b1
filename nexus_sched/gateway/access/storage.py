"""The storage of `limits` over the pool's own connection, so that limits are shared wherever the store is.

The counting is that of the library, by its own scripts; here they only get their way to the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from limits.aio.storage import Storage
from limits.aio.storage.base import SlidingWindowCounterSupport
from limits.util import get_package_data

from nexus_sched.errors import Conflict, StoreError
from nexus_sched.units import MS_PER_S

_SCRIPTS = "resources/redis/lua_scripts/"
INCREASE = get_package_data(f"{_SCRIPTS}incr_expire.lua").decode()
ACQUIRE = get_package_data(f"{_SCRIPTS}acquire_sliding_window.lua").decode()
LOOK = get_package_data(f"{_SCRIPTS}sliding_window.lua").decode()


class Counters(Protocol):
    """Where counters are; names are without the pool. Every call raises the `StoreError` that it meets."""

    async def call(self, command: str, name: str, *arguments: str | int) -> Any:
        """A command on one counter."""

    async def run(self, script: str, names: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """A script on some counters."""

    async def ping(self) -> None:
        """Whether the server answers."""

    async def close(self) -> None:
        """Let go of the connection. Never raises."""


class SharedStorage(Storage, SlidingWindowCounterSupport):
    """What the library's strategies ask of a storage."""

    STORAGE_SCHEME = None

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._counters = counters

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a call may raise."""
        return StoreError

    # -- sliding windows

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` within `limit` in `expiry` seconds, or nothing."""
        return bool(await self._counters.run(ACQUIRE, _windows(key), (limit, expiry, amount)))

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and time to live, in seconds, of the former window and of this one."""
        before, before_ms, now, now_ms = await self._counters.run(LOOK, _windows(key), (expiry,))
        return int(before or 0), max(0, before_ms) / MS_PER_S, int(now or 0), max(0, now_ms) / MS_PER_S

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - the library's
        """Forget what was counted."""
        for name in _windows(key):
            await self._counters.call("DEL", name)

    # -- fixed windows

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter that is forgotten `expiry` seconds after it began; what it is now."""
        return int(await self._counters.run(INCREASE, (key,), (expiry, amount)))

    async def get(self, key: str) -> int:
        """What a counter is."""
        return int(await self._counters.call("GET", key) or 0)

    async def get_expiry(self, key: str) -> float:
        """The instant at which a counter is forgotten, in seconds since the epoch of the server's clock."""
        return max(0, int(await self._counters.call("PEXPIRETIME", key))) / MS_PER_S

    async def clear(self, key: str) -> None:
        """Forget a counter."""
        await self._counters.call("DEL", key)

    # -- the storage as a whole

    async def check(self) -> bool:
        """Whether the server answers."""
        try:
            await self._counters.ping()
        except StoreError:
            return False
        return True

    async def reset(self) -> int | None:
        """Not for a store that others share. Raises `Conflict`."""
        raise Conflict("counters that others share are not reset: they end by themselves")


def _windows(key: str) -> tuple[str, str]:
    """The names of the former window and of this one."""
    return f"{key}/-1", key
