"""Sentinels and nodes of a cluster that give any answer: they are played here, on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from nexus_sched.adapters.redis import RedisLeaderStore
from nexus_sched.adapters.redis.locator import locator_of
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.errors import (
    StoreClusterDown,
    StoreError,
    StoreMoved,
    StoreNotReplicated,
    StoreReadOnly,
    StoreUnreachable,
    StoreUnsuitable,
)
from nexus_sched.runtime.ports import Lease

Answer = Callable[[list[bytes]], bytes]
KEY = b"123456789"  # slot 12,739


class Played:
    """A server that answers each command with what a function says; it remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def drop(self) -> None:
        """Break all connections, and wait until the other sides must have noticed."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                count = int((await reader.readuntil(b"\r\n"))[1:])
                words = []
                for _ in range(count):
                    size = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                self.asked.append(words[0])
                writer.write(b"+PONG\r\n" if words[0] == b"PING" else self.answer(words))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def playing(*answers: Answer) -> AsyncIterator[list[Played]]:
    played = [Played(answer) for answer in answers]
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", 0) for one in played]
    for one, server in zip(played, servers, strict=True):
        one.port = server.sockets[0].getsockname()[1]
    try:
        yield played
    finally:
        for server in servers:
            server.close()


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[RespClient]:
    client = RespClient(locator_of(url, KEY), timeout_ms=1_000, connect_timeout_ms=400)
    try:
        yield client
    finally:
        await client.close()


def bulk(*texts: str | int) -> bytes:
    return b"*%d\r\n" % len(texts) + b"".join(
        b":%d\r\n" % text if isinstance(text, int) else b"$%d\r\n%b\r\n" % (len(text), text.encode()) for text in texts
    )


def slots(*rows: tuple[int, int, int]) -> bytes:
    """CLUSTER SLOTS: first, last, port of the owner."""
    return b"*%d\r\n" % len(rows) + b"".join(
        b"*3\r\n:%d\r\n:%d\r\n" % (first, last) + bulk("127.0.0.1", port, "id") for first, last, port in rows
    )


# -- under Sentinels


def naming(port: int | Callable[[], int], epoch: int = 0) -> Answer:
    """A Sentinel that names a primary. As one does in the midst of a promotion, it gives the address only if asked."""

    def answer(words: list[bytes]) -> bytes:
        if words[1] == b"MASTER":
            return bulk("ip", "127.0.0.1", "port", "1", "config-epoch", str(epoch))
        return bulk("127.0.0.1", str(port if isinstance(port, int) else port()))

    return answer


def serving(words: list[bytes]) -> bytes:
    return b"*2\r\n$6\r\nmaster\r\n:0\r\n" if words == [b"ROLE"] else b"+OK\r\n"


def sentinels_url(*sentinels: Played) -> str:
    return f"redis+sentinel://127.0.0.1:1,{','.join(f'127.0.0.1:{one.port}' for one in sentinels)}/m"


async def test_sentinel_with_the_newest_configuration_is_believed_and_its_primary_asked_for_its_role() -> None:
    async with playing(serving, serving) as (former, primary):

        def ignorant(_: list[bytes]) -> bytes:
            return b"-ERR No such master with that name\r\n"

        async with (
            playing(ignorant, naming(former.port, 3), naming(primary.port, 4)) as sentinels,
            client_of(sentinels_url(*sentinels)) as client,
        ):
            assert await client.call("A") == b"OK"
            assert (former.asked, primary.asked) == ([], [b"PING", b"ROLE", b"A"])


async def test_sentinels_that_know_no_such_service_or_are_none_are_told() -> None:
    async with (
        playing(lambda _: b"-ERR No such master with that name\r\n") as (ignorant,),
        client_of(sentinels_url(ignorant)) as client,
    ):
        with pytest.raises(StoreUnreachable, match="no Sentinel names a primary: ERR No such master"):
            await client.call("A")


async def test_server_that_is_no_primary_is_not_taken() -> None:
    async with (
        playing(lambda _: b"*3\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n") as (replica,),
        playing(naming(replica.port)) as (sentinel,),
        client_of(sentinels_url(sentinel)) as client,
    ):
        with pytest.raises(StoreUnreachable, match="it is a slave"):
            await client.call("A")
        assert b"A" not in replica.asked
        assert sentinel.asked.count(b"SENTINEL") > 1  # it is asked anew each time


async def test_primary_that_turned_read_only_is_left_for_the_next_call() -> None:
    def demoted(words: list[bytes]) -> bytes:
        return serving(words) if words == [b"ROLE"] else b"-READONLY You can't write\r\n"

    async with playing(demoted, serving) as played:
        ports = iter([played[0].port, played[1].port])
        async with playing(naming(lambda: next(ports))) as (sentinel,), client_of(sentinels_url(sentinel)) as client:
            with pytest.raises(StoreReadOnly):
                await client.call("A")
            assert await client.call("B") == b"OK"


async def test_primary_whose_replicas_are_gone_is_doubted() -> None:
    async with playing(serving, serving) as played:
        ports = iter([played[0].port, played[1].port])
        async with playing(naming(lambda: next(ports))) as (sentinel,), client_of(sentinels_url(sentinel)) as client:
            await client.call("A")
            client.doubt(StoreNotReplicated("in vain"))
            await client.call("B")
            assert played[1].asked[-1] == b"B"


async def test_primary_that_was_started_again_beside_its_successor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_sched.adapters.redis.locator.RECHECK_S", 0.05)
    async with playing(serving, serving) as (former, successor):
        answers = [naming(former.port, 1)]

        def answering(words: list[bytes]) -> bytes:
            return answers[-1](words)

        async with playing(answering) as (sentinel,), client_of(sentinels_url(sentinel)) as client:
            await client.call("A")
            answers.append(naming(successor.port, 2))
            async with asyncio.timeout(5):
                while b"PING" not in successor.asked:
                    with contextlib.suppress(StoreUnreachable):
                        await client.call("B")
                    await asyncio.sleep(0.01)


async def test_leader_reads_and_writes_where_it_was_given_the_lease_or_nowhere() -> None:
    """A primary that was started again beside its successor holds other entries under the ids of those it had lost."""

    def leading(words: list[bytes]) -> bytes:
        if words[:2] == [b"FCALL", b"nx_acquire"]:
            return b"*3\r\n:1\r\n$1\r\n4\r\n$1\r\n7\r\n"
        return b"*-1\r\n" if words[0] == b"XREAD" else serving(words)

    async with playing(leading, leading) as (one, other):
        named = [one.port]
        async with playing(naming(lambda: named[-1])) as (sentinel,):
            store = RedisLeaderStore(sentinels_url(sentinel), "p", timeout_ms=1_000, connect_timeout_ms=400)
            try:
                await store.acquire("me", "nonce", None)
                assert await store.read({"res": "0-0"}, 1, 0) == []
                named.append(other.port)
                assert isinstance(await store.acquire("me", "nonce", None), Lease)
                assert await store.read({"res": "0-0"}, 1, 0) == []  # both connections are still the first ones
                assert other.asked == []
                await one.drop()
                with pytest.raises(StoreMoved, match="has taken the place of"):
                    await store.read({"res": "0-0"}, 1, 0)
                with pytest.raises(StoreMoved, match="has taken the place of"):
                    await store.sequence()
                assert set(other.asked) == {b"PING", b"ROLE"}
                await store.acquire("me", "nonce", None)
                assert await store.read({"res": "0-0"}, 1, 0) == []
                assert other.asked[-1] == b"XREAD"
            finally:
                await store.close()


# -- in a cluster


async def test_moved_call_is_made_once_more_at_the_owner_and_later_ones_go_there() -> None:
    def former(words: list[bytes]) -> bytes:
        if words[0] == b"CLUSTER":
            return slots((0, 16_383, played[0].port))
        return b"-MOVED 12739 127.0.0.1:%d\r\n" % played[1].port

    async with (
        playing(former, lambda _: b"+OK\r\n") as played,
        client_of(f"redis+cluster://127.0.0.1:{played[0].port}") as client,
    ):
        assert await asyncio.gather(*(client.call(name) for name in "ABC")) == [b"OK"] * 3
        assert await client.call("D") == b"OK"
        assert [name for name in played[0].asked if name not in (b"PING", b"CLUSTER")] == [b"A", b"B", b"C"]
        assert played[1].asked == [b"PING", b"A", b"B", b"C", b"D"]


async def test_asked_call_is_made_there_once_and_later_ones_stay() -> None:
    def origin(words: list[bytes]) -> bytes:
        if words[0] == b"CLUSTER":
            return slots((0, 10_000, 1), (10_001, 16_383, played[0].port))
        return b"-ASK 12739 :%d\r\n" % played[1].port if words == [b"A"] else b"+HERE\r\n"

    async with (
        playing(origin, lambda _: b"+THERE\r\n") as played,
        client_of(f"redis+cluster://127.0.0.1:1,127.0.0.1:{played[0].port}") as client,
    ):
        assert await client.call("A") == b"THERE"
        assert await client.call("B") == b"HERE"
        assert played[1].asked == [b"PING", b"ASKING", b"A"]


async def test_call_that_goes_in_circles_ends() -> None:
    def circle(words: list[bytes]) -> bytes:
        if words[0] == b"CLUSTER":
            return slots((0, 16_383, played[0].port))
        return b"-MOVED 12739 127.0.0.1:%d\r\n" % played[0].port

    async with playing(circle) as played, client_of(f"redis+cluster://127.0.0.1:{played[0].port}") as client:
        with pytest.raises(StoreMoved):
            await client.call("A")


@pytest.mark.parametrize("answer", [b"-CLUSTERDOWN Hash slot not served\r\n", b"-READONLY You can't write\r\n"])
async def test_node_that_cannot_serve_is_looked_up_anew(answer: bytes) -> None:
    def failing(words: list[bytes]) -> bytes:
        return slots((0, 16_383, played[1].port)) if words[0] == b"CLUSTER" else b"+OK\r\n"

    def owner(words: list[bytes]) -> bytes:
        return answer

    async with playing(failing, owner) as played, client_of(f"redis+cluster://127.0.0.1:{played[0].port}") as client:
        for _ in range(2):
            with pytest.raises((StoreClusterDown, StoreReadOnly)):
                await client.call("A")
        assert played[1].asked == [b"PING", b"A"] * 2  # each on a connection that was looked up


async def test_slot_without_an_owner_is_a_cluster_that_is_down() -> None:
    async with (
        playing(lambda _: slots((0, 100, 1))) as (node,),
        client_of(f"redis+cluster://127.0.0.1:{node.port}") as client,
    ):
        with pytest.raises(StoreError, match=r"slot 12739\): no node owns the slot"):
            await client.call("A")


async def test_server_without_a_cluster_url_that_redirects_is_unsuitable() -> None:
    async with (
        playing(lambda _: b"-MOVED 12739 127.0.0.1:1\r\n") as (node,),
        client_of(f"redis://127.0.0.1:{node.port}") as client,
    ):
        with pytest.raises(StoreUnsuitable, match=r"redis\+cluster://"):
            await client.call("A")
