"""Level `replicated` on a real primary and its replica, and the servers' own refusals where they can be provoked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator

import pytest

from nexus_sched.adapters.redis import RedisLeaderStore, RedisSubmitterStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.errors import (
    StoreClusterDown,
    StoreError,
    StoreNotPersisting,
    StoreNotReplicated,
    StoreReadOnly,
)
from nexus_sched.model.durability import REPLICATED, STRICT, Durability
from nexus_sched.model.outcome import Acceptance, Outcome, Reason, Receipt
from nexus_sched.runtime.ports import CommitPlan, CompletionLine, Ended, EndLine, SubmitLine
from nexus_sched.testing.conformance import Stage
from nexus_sched.testing.servers import KINDS, ServerMissing, TestServer
from nexus_sched.testing.stores import RedisFactory
from nexus_sched.testing.topologies import ask, until
from nexus_sched.worker.ledger import Ledger

WAIT_MS = 500
CONFIRMED_IN_A_ROW = 3
TOLD_WITHIN_S = 10.0
LINE = SubmitLine("b", 5, b"spec", b"payload")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def own_server(kind: str, **settings: object) -> TestServer:
    try:
        return TestServer(kind, **settings)  # type: ignore[arg-type]  # passed through
    except ServerMissing as missing:
        pytest.skip(str(missing))


class ReplicatedFactory(RedisFactory):
    """A shard whose leader promises replicas; workers and submitters are told nothing."""

    def leader(self, shard: int = 0) -> RedisLeaderStore:
        return RedisLeaderStore(self.url, self.name, shard, durability=Durability(REPLICATED, WAIT_MS))


@contextlib.asynccontextmanager
async def pair(kind: str) -> AsyncIterator[tuple[TestServer, TestServer]]:
    with own_server(kind, tcp=True, options={"repl-diskless-sync-delay": "0"}) as primary, own_server(kind) as replica:
        await ask(replica, "REPLICAOF", "127.0.0.1", primary.port)

        async def is_linked() -> bool:
            client = RespClient(parse_address(primary.url))
            try:
                for _ in range(CONFIRMED_IN_A_ROW):  # just after loading, a replica may still be slow
                    await client.call("SET", "probe", "x")
                    if await client.call("WAIT", 1, 100) != 1:
                        return False
                    await asyncio.sleep(0.05)
                return True
            finally:
                await client.close()

        await until(is_linked, "a replica")
        yield primary, replica


async def test_level_of_the_shard_holds_for_all_who_use_it(kind: str) -> None:
    async with pair(kind) as (primary, replica), Stage(ReplicatedFactory(primary.url, "p")) as stage:
        lease = await stage.lead()
        incarnation = await stage.worker.register("w", b"")
        await stage.submit("a")
        entry = await stage.dispatch("a", "w")
        assert await stage.start("w", incarnation, "a", entry)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreNotReplicated):
                await stage.submitter.submit([LINE], "")
            with pytest.raises(StoreNotReplicated):
                await stage.complete("w", incarnation, "a", entry)
            await stage.beat("w", incarnation)  # what promises nothing waits for nobody
            with pytest.raises(StoreNotReplicated):
                await stage.commit()
            with pytest.raises(StoreNotReplicated):
                await stage.leader.acquire(lease.owner, "again", None)
            # somebody who comes anew has written nothing on his connection, and is told no better
            late = RedisSubmitterStore(primary.url, "p")
            with pytest.raises(StoreNotReplicated):
                await late.submit([LINE], "")
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        assert await late.submit([LINE], "") == [Acceptance.DUPLICATE]
        await late.close()
        assert await stage.complete("w", incarnation, "a", entry) is Receipt.REPEATED
        assert await stage.leader.sequence() == 2  # what could not be confirmed was written


async def heard(ends: AsyncIterator[Ended], server: TestServer) -> list[str]:
    """What has been announced to `me` since this was asked before."""
    await ask(server, "PUBLISH", "nexus:done:me", "that-is-all x 1")
    told: list[str] = []
    async with asyncio.timeout(TOLD_WITHIN_S):
        while (ended := await anext(ends)).task_id != "that-is-all":
            told.append(ended.task_id)
    return told


async def test_ends_are_announced_once_and_not_before_a_replica_has_them(kind: str) -> None:
    async with pair(kind) as (primary, replica), Stage(ReplicatedFactory(primary.url, "p")) as stage:
        await stage.lead()
        incarnation = await stage.worker.register("w", b"")
        await stage.submitter.subscribed("me")
        ends = stage.submitter.ended("me")
        await stage.submit("a", "dead", "cancelled", "unheard", reply="me")
        await stage.submit("silent")
        entries = {task: await stage.dispatch(task, "w") for task in ("a", "silent")}
        for task, entry in entries.items():
            assert await stage.start("w", incarnation, task, entry)
        dead = EndLine(True, "dead", 1, Reason.WORKER_KILLER, "w", "twice")
        await stage.commit(ends=[dead, EndLine(False, "cancelled", 0, Reason.CANCELLED, "", "")])
        assert sorted(await heard(ends, primary)) == ["cancelled", "dead"]
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreNotReplicated):
                await stage.complete("w", incarnation, "a", entries["a"], result=b"tiny")
            with pytest.raises(StoreNotReplicated):
                await stage.commit(ends=[EndLine(False, "unheard", 0, Reason.CANCELLED, "", "")])
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        assert await heard(ends, primary) == []
        for _ in range(2):
            assert await stage.complete("w", incarnation, "a", entries["a"], result=b"tiny") is Receipt.REPEATED
        assert await stage.complete("w", incarnation, "silent", entries["silent"]) is Receipt.ACCEPTED
        assert await heard(ends, primary) == ["a"]


async def test_end_that_was_announced_is_not_announced_again_by_a_store_that_has_forgotten_it(kind: str) -> None:
    async with pair(kind) as (primary, _), Stage(ReplicatedFactory(primary.url, "p")) as stage:
        await stage.lead()
        incarnation = await stage.worker.register("w", b"")
        await stage.submitter.subscribed("me")
        ends = stage.submitter.ended("me")
        await stage.submit("a", reply="me")
        entry = await stage.dispatch("a", "w")
        assert await stage.start("w", incarnation, "a", entry)
        ledger = Ledger()
        ledger.ended(CompletionLine("a", 1, entry, True, Outcome.SUCCEEDED, b"fact", b"result"))
        for receipt in (Receipt.ACCEPTED, Receipt.REPEATED):
            lines = ledger.next_completions()
            reply = await stage.worker.step("w", incarnation, b"", lines, [])
            assert reply.receipts == [receipt]
            assert await heard(ends, primary) == (["a"] if receipt is Receipt.ACCEPTED else [])
            ledger.receipted(lines, reply.receipts, 0.0)
            await ask(primary, "HSET", "{nx:p:0}:t:a", "u", "1")  # as a promoted replica may hold it
            ledger.replay()


async def test_level_that_changes_reaches_those_who_are_connected(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_sched.adapters.redis.confirmation.REREAD_S", 0.0)
    with own_server(kind) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            await stage.submit("a")
            promising = RedisLeaderStore(server.url, "p", durability=Durability(REPLICATED, 50))
            with pytest.raises(StoreNotReplicated):
                await promising.acquire("leader", "other", None)
            with pytest.raises(StoreNotReplicated):
                for number in range(3):
                    await stage.submitter.submit([LINE._replace(task_id=f"c-{number}")], "")
                    await asyncio.sleep(0.01)
            await promising.close()
            back = RedisLeaderStore(server.url, "p", durability=Durability(STRICT))
            await back.acquire("leader", "third", None)
            await back.close()

            async def is_taken() -> bool:
                return await stage.submitter.submit([LINE], "") == [Acceptance.DUPLICATE]

            await until(is_taken, "a submission that waits for nobody")


async def test_confirmed_calls_find_functions_that_were_flushed(kind: str) -> None:
    async with pair(kind) as (primary, _), Stage(ReplicatedFactory(primary.url, "p")) as stage:
        await stage.lead()
        await ask(primary, "FUNCTION", "FLUSH")
        plans = [CommitPlan(b"%d" % number, {}, {}, [], [], [], []) for number in range(3)]
        commits = [stage.leader.commit(stage.lease, number, plan) for number, plan in enumerate(plans)]
        assert await asyncio.gather(*commits) == [1, 2, 3]
        await stage.submit("a")
        assert len(await stage.entries("q:5")) == 1


# -- what servers refuse by themselves


async def refused(stage: Stage, error: type[StoreError]) -> None:
    """Leader and submitter are told so, and it is no other state."""
    for call in (stage.submit("x"), stage.commit(), stage.leader.renew(stage.lease)):
        with pytest.raises(error) as caught:
            await call
        assert type(caught.value) is error


async def test_server_that_wants_more_replicas_than_it_has_is_not_replicated(kind: str) -> None:
    with own_server(kind) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            await ask(server, "CONFIG", "SET", "min-replicas-to-write", 1)
            await refused(stage, StoreNotReplicated)
            await ask(server, "CONFIG", "SET", "min-replicas-to-write", 0)
            await stage.submit("a")


async def test_replica_without_its_primary_that_serves_nothing_stale_is_read_only(kind: str) -> None:
    with own_server(kind, options={"replica-serve-stale-data": "no"}) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            await ask(server, "REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(StoreReadOnly, match="MASTERDOWN"):
                await stage.leader.sequence()
            await refused(stage, StoreReadOnly)
            await ask(server, "REPLICAOF", "NO", "ONE")
            await stage.submit("a")


async def test_server_that_cannot_write_its_files_is_not_persisting(kind: str) -> None:
    with own_server(kind, options={"save": "3600 1"}) as server:
        async with Stage(RedisFactory(server.url, "p")) as stage:
            await stage.lead()
            place = server.socket_path.parent
            hidden = place.with_name(place.name + "-hidden")
            place.rename(hidden)  # connections of the socket go on; its working directory goes with it
            place.mkdir()
            await asyncio.to_thread(shutil.rmtree, hidden)
            client = stage.leader._writer  # type: ignore[attr-defined]  # no port has BGSAVE
            await client.call("BGSAVE")

            async def failed() -> bool:
                return b"rdb_last_bgsave_status:err" in await client.call("INFO", "persistence")

            await until(failed, "a save that fails")
            await refused(stage, StoreNotPersisting)
            await client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
            await stage.submit("a")


async def test_cluster_in_which_nobody_owns_the_slot_is_down(kind: str) -> None:
    with own_server(kind, tcp=True, options={"cluster-enabled": "yes", "cluster-port": "0"}) as server:
        store = RedisLeaderStore(f"redis+cluster://127.0.0.1:{server.port}", "p", connect_timeout_ms=200)
        with pytest.raises(StoreError, match="no node owns the slot"):
            await store.open()
        await store.close()
        alone = RedisLeaderStore(server.tcp_url, "p")
        with pytest.raises(StoreClusterDown):
            await alone.acquire("a", "n", None)
        await alone.close()
