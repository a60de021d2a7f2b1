"""A thin asyncio client for the Redis protocol, which dials again when it is needed and goes where the server is.

Laws of this file, beside those of `connection`:
  1. A command is sent once. Nothing is ever repeated silently: after a loss the caller decides. The one exception
     is a command that was told to go elsewhere (`MOVED`, `ASK`): it was not executed, so it goes there.
  2. Reconnecting is explicit: the next command dials again, with back-off, within the connect timeout.
  3. A connection to a server that says that it is not the right one (any more) is used for nothing new.
  4. Who wants to `stay` with one server speaks to no other, whatever the locator finds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

from nexus_sched.adapters.redis.address import Address
from nexus_sched.adapters.redis.connection import CONNECT_TIMEOUT_MS_DEFAULT, Argument, Connection, dial, pack
from nexus_sched.adapters.redis.locator import Fixed, Locator
from nexus_sched.adapters.redis.replies import Redirection, Reply
from nexus_sched.errors import StoreClusterDown, StoreError, StoreMoved, StoreUnreachable, StoreUnsuitable
from nexus_sched.units import MS_PER_S

__all__ = ["CONNECT_TIMEOUT_MS_DEFAULT", "Argument", "Connection", "RespClient", "dial", "pack"]

TIMEOUT_MS_DEFAULT = 5_000
BACKOFF_MS_MIN = 25
BACKOFF_MS_MAX = 1_000
REDIRECTIONS_MAX = 5  # of one command; nodes that disagree about a slot agree within seconds


class RespClient:
    """A connection that dials again when it is needed. See the laws above."""

    def __init__(
        self,
        place: Address | Locator,
        *,
        timeout_ms: int = TIMEOUT_MS_DEFAULT,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS_DEFAULT,
    ) -> None:
        self.locator: Locator = Fixed(place) if isinstance(place, Address) else place
        self._timeout_s = timeout_ms / MS_PER_S
        self._connect_timeout_s = connect_timeout_ms / MS_PER_S
        self._connection: Connection | None = None
        self._dialling: asyncio.Task[Connection] | None = None
        self._only = ""  # the server to stay with
        self._closed = False

    @property
    def server(self) -> str:
        """The server that it is connected to, empty without a connection."""
        connection = self._connection
        return "" if connection is None or connection.lost else connection.name

    def stay(self, server: str) -> None:
        """Speak only to what `server` named, else calls get `StoreMoved`; empty: to whichever is found."""
        self._only = server
        if server and self.server not in ("", server):
            assert self._connection is not None
            self._connection.lose(f"{server} is to be spoken to")

    async def open(self) -> None:
        """Connect, if that is not so already."""
        self._closed = False
        await self._connected()

    async def close(self) -> None:
        """Drop the connection. Calls that wait get `StoreUnreachable`; so do later ones, until `open`."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            with contextlib.suppress(asyncio.CancelledError, StoreError):
                await self._dialling
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lose("closed by this side")
            await connection.closed

    async def call(self, *command: Argument, timeout_s: float | None = None) -> Reply:
        """Send one command and return its reply. Raises the `StoreError` it is answered with."""
        await self.writable()
        packed = pack(command)
        reply = await self.follow(packed, await self.send(packed, timeout_s), timeout_s)
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def writable(self) -> None:
        """Returns once the server has taken enough of what was sent before."""
        connection = self._connection
        if connection is not None:
            await connection.writable()

    def send(self, packed: bytes, timeout_s: float | None = None) -> asyncio.Future[Reply]:
        """Send one packed command at once. The future resolves to a reply or a `StoreError` value."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        connection = self._connection
        if connection is not None and not connection.lost:
            return connection.send(packed, timeout_s)
        return asyncio.ensure_future(self._send_connected(packed, timeout_s))

    def send_both(self, first: bytes, second: bytes, timeout_s: float | None = None) -> Awaitable[tuple[Reply, Reply]]:
        """As `send`, two commands on the very same connection: neither is ever sent without the other before it."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        connection = self._connection
        if connection is not None and not connection.lost:
            return _both(connection.send(first, timeout_s), connection.send(second, timeout_s))
        return asyncio.ensure_future(self._both_connected(first, second, timeout_s))

    async def _both_connected(self, first: bytes, second: bytes, timeout_s: float) -> tuple[Reply, Reply]:
        try:
            connection = await self._connected()
        except StoreError as error:
            return error, error
        return await _both(connection.send(first, timeout_s), connection.send(second, timeout_s))

    async def follow(self, packed: bytes, reply: Reply, timeout_s: float | None = None) -> Reply:
        """The reply to a command, from wherever it was told to go; as it is if it was told nothing."""
        for _ in range(REDIRECTIONS_MAX):
            if not isinstance(reply, Redirection):
                break
            if not self.locator.clustered:
                return StoreUnsuitable(
                    f"{self.locator} is a node of a cluster, and not that of this shard: write redis+cluster:// instead"
                )
            if reply.once:
                return await self._send_once(packed, reply, self._timeout_s if timeout_s is None else timeout_s)
            reply = await self.send(packed, timeout_s)
        return reply

    async def _send_once(self, packed: bytes, redirection: Redirection, timeout_s: float) -> Reply:
        """Over a connection of its own, which only this command may use."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self.locator.connect_to(redirection)
        except StoreError as error:
            return error
        except (OSError, TimeoutError) as error:
            return StoreUnreachable(f"{self.locator}: {error or 'no answer in time'}")
        try:
            return await connection.send(packed, timeout_s)
        finally:
            connection.lose("the slot is still on its way")

    async def _send_connected(self, packed: bytes, timeout_s: float) -> Reply:
        try:
            connection = await self._connected()
        except StoreError as error:
            return error
        return await connection.send(packed, timeout_s)

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None and not connection.lost:
            return connection
        if self._closed:
            raise StoreUnreachable(f"{self.locator}: closed")
        if self._dialling is None:
            self._dialling = asyncio.ensure_future(self._dial())
            self._dialling.add_done_callback(self._dialled)
        dialling = self._dialling
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if dialling.cancelled() and not (task and task.cancelling()):  # by `close`, not the caller
                raise StoreUnreachable(f"{self.locator}: closed") from None
            raise

    def _dialled(self, task: asyncio.Task[Connection]) -> None:
        self._dialling = None
        if not task.cancelled() and task.exception() is None:
            connection = self._connection = task.result()
            connection.on_refusal = self.doubt

    def doubt(self, error: StoreError) -> None:
        """What came of a call that was answered: whether the next one has to look for another server."""
        connection = self._connection
        if connection is not None and self.locator.is_elsewhere(error):
            self._connection = None
            connection.retire()

    async def _dial(self) -> Connection:
        """Dial with back-off until the connect timeout. Wrong credentials end it at once."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._connect_timeout_s
        pause_s = BACKOFF_MS_MIN / MS_PER_S
        why = ""
        while True:
            try:
                async with asyncio.timeout_at(give_up_at):
                    return self._checked(await self.locator.connect())
            except TimeoutError:
                raise StoreUnreachable(f"cannot connect to {self.locator}: {why or 'no answer in time'}") from None
            except (StoreUnreachable, StoreClusterDown) as error:
                why = str(error)
            except OSError as error:
                why = error.strerror or str(error)
            if loop.time() + pause_s > give_up_at:
                raise StoreUnreachable(f"cannot connect to {self.locator}: {why}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, BACKOFF_MS_MAX / MS_PER_S)

    def _checked(self, connection: Connection) -> Connection:
        if self._only not in ("", connection.name):
            connection.lose("it is another server than the one to stay with")
            raise StoreMoved(f"{self.locator}: {connection.name} has taken the place of {self._only}")
        return connection


async def _both(first: asyncio.Future[Reply], second: asyncio.Future[Reply]) -> tuple[Reply, Reply]:
    """Both replies, as soon as they are there: `gather` is a turn of the loop later, and callers lose their order."""
    return await first, await second
