"""Calls of the shard's functions, and the function library itself.

Laws of this file:
  1. A call is packed and sent in one go, so callers may pipeline. A call that is answered "function not found" was not
     executed; the library is loaded and that one call repeated, once.
  2. Versions run side by side on one library, the latest of theirs: a text is only ever replaced by one of a higher
     revision, or of the same one between two builds of it. Schedulers replace it when they start, and the leader looks
     again and again, because a version from before this law puts its own text back. Others only load what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Iterable
from importlib.resources import files
from typing import cast

from nexus_sched.adapters.redis.keys import PoolKeys, ShardKeys
from nexus_sched.adapters.redis.replies import FunctionMissing, FunctionsThere, Redirection, Reply
from nexus_sched.adapters.redis.resp import REDIRECTIONS_MAX, Argument, RespClient, pack
from nexus_sched.errors import StoreAuthRefused, StoreError, StoreNotReplicated

LIBRARY = "nexus_v1"
RESULT_TTL_S_DEFAULT = 3_600  # records and results of ended tasks stay this long
LIBRARY_PARTS = tuple(
    f"{LIBRARY}{part}.lua" for part in ("", "_endings", "_journal", "_letters", "_reports", "_pool", "_audit")
)  # in this order
LIBRARY_TEXT = b"\n".join(
    (files("nexus_sched.adapters.redis") / "functions" / part).read_bytes() for part in LIBRARY_PARTS
)

_REVISION = re.compile(rb"^local REVISION = ([0-9]{1,9})\b", re.MULTILINE)


def revision_of(text: bytes) -> int:
    """The revision that a library's text names; 0 for one from before there were revisions."""
    found = _REVISION.search(text)
    return int(found[1]) if found else 0


REVISION = revision_of(LIBRARY_TEXT)


def declared(client: RespClient, keys: ShardKeys | PoolKeys) -> tuple[Argument, ...]:
    """The keys of a call, counted, and its first argument.

    In a cluster a key that never exists is declared as well: while a slot is on its way to another node, a call with a
    key that is there and one that is not is refused before it begins (`TRYAGAIN`). Without it a function would run
    until it touches a key that has left already, and end in the midst of its writes.
    """
    if client.locator.clustered:
        return (b"2", keys.meta, keys.absent, keys.prefix)
    return (b"1", keys.meta, keys.prefix)


class ShardFunctions:
    """The functions of one shard, or of a pool, called over one connection."""

    def __init__(self, client: RespClient, keys: ShardKeys | PoolKeys) -> None:
        self._client = client
        self._head = declared(client, keys)
        self._meta = keys.meta
        self._loading: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[Reply]] = set()

    async def install(self, *, replace: bool) -> None:
        """Load the library if it is missing, or (`replace`) if its text gives way to this one."""
        with contextlib.suppress(StoreAuthRefused):  # without the right to ask: calls will tell
            there = await self._text()
            if there is None:
                await self._load()
            elif replace and there != LIBRARY_TEXT and revision_of(there) <= REVISION:
                await self._client.call("FUNCTION", "LOAD", "REPLACE", LIBRARY_TEXT)

    async def _text(self) -> bytes | None:
        listed = await self._client.call("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY, "WITHCODE")
        return _code_of(listed[0]) if listed else None

    def call(self, function: bytes, *arguments: object) -> Awaitable[Reply]:
        """Send one call at once. The awaitable gives its reply or raises its `StoreError`.

        Arguments are `Argument`s; they come flattened out of mixed rows, which has no better type than object.
        """
        packed = pack(cast("tuple[Argument, ...]", (b"FCALL", function, *self._head, *arguments)))
        return self._answer(packed, self._client.send(packed))

    def call_replicated(self, wait_ms: int, function: bytes, *arguments: object) -> Awaitable[Reply]:
        """As `call`, and with a `wait_ms` above 0 only an answer once a replica has what was written.

        Raises `StoreNotReplicated` if none has it within `wait_ms`: it is written all the same.
        """
        if wait_ms <= 0:
            return self.call(function, *arguments)
        packed = pack(cast("tuple[Argument, ...]", (b"FCALL", function, *self._head, *arguments)))
        return self._answer_replicated(packed, wait_ms, self._client.send_both(packed, _wait(wait_ms)))

    def tell(self, task_ids: Iterable[str]) -> None:
        """Have ends announced that were kept back, now that a replica has them; nobody waits for that.

        Whether it gets through is nobody's concern: an announcement can be lost. A library that is older than this
        function has announced them already.
        """
        if ids := list(task_ids):
            packed = pack((b"FCALL", b"nx_tell", *self._head, *ids))
            telling = asyncio.ensure_future(self._follow(packed))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _follow(self, packed: bytes) -> Reply:
        return await self._client.follow(packed, await self._client.send(packed))

    async def replicate(self, wait_ms: int) -> None:
        """Returns once a replica has all that was written until now, by whomever. Raises `StoreNotReplicated`.

        A connection that has written nothing is told by some servers that everything is replicated; so this writes.
        """
        mark = pack((b"HINCRBY", self._meta, b"confirmed", 1))
        await self._answer_replicated(mark, wait_ms, self._client.send_both(mark, _wait(wait_ms)))

    async def _answer_replicated(self, packed: bytes, wait_ms: int, sent: Awaitable[tuple[Reply, Reply]]) -> Reply:
        for _ in range(REDIRECTIONS_MAX):
            reply, replicas = await sent
            if isinstance(reply, FunctionMissing):
                await self._load_once()
            elif not isinstance(reply, Redirection) or reply.once or not self._client.locator.clustered:
                break
            sent = self._client.send_both(packed, _wait(wait_ms))
        for each in (reply, replicas):
            if isinstance(each, StoreError):
                raise each
        if replicas < 1:
            error = StoreNotReplicated(
                f"{self._client.locator}: no replica has it within {wait_ms} ms; it is written here"
            )
            self._client.doubt(error)
            raise error
        return reply

    async def call_in_turn(self, function: bytes, *arguments: object, wait_ms: int = 0) -> Reply:
        """As `call_replicated`, but waits first while the server is behind: for calls with payloads or results."""
        await self._client.writable()
        return await self.call_replicated(wait_ms, function, *arguments)

    async def _answer(self, packed: bytes, sent: asyncio.Future[Reply]) -> Reply:
        reply = await self._client.follow(packed, await sent)
        if isinstance(reply, FunctionMissing):
            await self._load_once()
            reply = await self._client.follow(packed, await self._client.send(packed))
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def _load_once(self) -> None:
        """Calls that miss the library together share one load and go on in their order."""
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
            self._loading.add_done_callback(self._loaded)
        await asyncio.shield(self._loading)

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # retrieved here too: whoever waited may have been cancelled

    async def _load(self) -> None:
        """Load what is missing: all of it, or what an earlier text does not have."""
        try:
            await self._client.call("FUNCTION", "LOAD", LIBRARY_TEXT)
        except FunctionsThere:
            there = await self._text()
            if there is not None and revision_of(there) < REVISION:
                await self._client.call("FUNCTION", "LOAD", "REPLACE", LIBRARY_TEXT)


def _wait(wait_ms: int) -> bytes:
    return pack((b"WAIT", 1, wait_ms))


def _code_of(listed: list[bytes]) -> bytes:
    """The code in one row of FUNCTION LIST: field, value, field, value."""
    return dict(zip(listed[::2], listed[1::2], strict=True)).get(b"library_code", b"")
