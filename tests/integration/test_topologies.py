"""A primary under Sentinels and a cluster: whoever serves a shard is followed, whatever dies or moves.

The stories are told on real servers and, under Sentinels, with real schedulers and workers. What a promotion may lose,
and when it does not, is a matter of the durability level: here all that counts has reached the replica before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nexus_sched.adapters.redis import IntakeFollower, RedisInspectorStore, RedisLeaderStore, RedisSubmitterStore
from nexus_sched.adapters.redis.examination import examine_server
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.topology import slot_of
from nexus_sched.cli import exit_codes
from nexus_sched.errors import StoreAuthRefused, StoreError, StoreMoved, StoreUnreachable, StoreUnsuitable
from nexus_sched.model.intake import IntakeSettings
from nexus_sched.runtime.ports import Lease
from nexus_sched.testing.servers import REDIS, VALKEY, ServerMissing
from nexus_sched.testing.topologies import Cluster, SentinelSet, ask, until
from tests.integration.application import app
from tests.integration.programs import Programs
from tests.integration.shard import Shard, eventually, leading, working

PASSWORD = "pass word"
FOLLOW_TIMEOUT_S = 30.0


@contextlib.asynccontextmanager
async def formed(topology: type[SentinelSet] | type[Cluster], kind: str, **options: object) -> AsyncIterator:
    try:
        servers = topology(kind, **options)  # type: ignore[arg-type]  # passed through
    except ServerMissing as missing:
        pytest.skip(str(missing))
    async with servers:
        yield servers


@contextlib.asynccontextmanager
async def shard_on(url: str, pool: str) -> AsyncIterator[Shard]:
    shard = Shard(url, pool)
    await shard.open()
    try:
        yield shard
    finally:
        await shard.close()


async def test_promotion_by_sentinels_is_followed_by_schedulers_workers_and_clients(pool: str, tmp_path: Path) -> None:
    async with formed(SentinelSet, REDIS, password=PASSWORD) as servers:
        wrong = RedisSubmitterStore(servers.url.replace(PASSWORD, "wrong"))
        with pytest.raises(StoreAuthRefused) as caught:
            await wrong.open()
        assert "wrong@" not in str(caught.value)
        programs = Programs(servers.url.replace(PASSWORD, PASSWORD.replace(" ", "%20")), pool, tmp_path)
        try:
            async with shard_on(servers.url, pool) as shard:
                schedulers = [programs.scheduler("scheduler.lease=1s") for _ in range(2)]
                programs.worker("w-0", 8)
                await shard.submit(20)
                await shard.all_succeed()
                doctor = programs.start("doctor", "--json")
                assert await asyncio.to_thread(doctor.wait) == exit_codes.DEGRADED  # tests do not sync their files
                levels = {check["name"]: check["level"] for check in json.loads(doctor.output)["checks"]}
                assert (levels["sentinels"], levels["scheduler"], levels["role"]) == ("ok", "ok", "ok")
                await shard.submit(20, ms=300.0)
                former = await servers.primary()
                assert await _replicated(servers)
                former.kill()
                await servers.promoted(former)
                await _submitted(shard, 20)
                await shard.all_succeed(FOLLOW_TIMEOUT_S)
                assert not any(scheduler.ended() for scheduler in schedulers)
                for scheduler in schedulers:
                    scheduler.terminate()
                    assert await asyncio.to_thread(scheduler.wait) == exit_codes.OK
                    assert "Traceback" not in scheduler.output
        finally:
            programs.close()


async def _replicated(servers: SentinelSet) -> bool:
    """Whether the replica has all that the primary held when this was asked."""
    offsets = [await servers.ask(server, "INFO", "replication") for server in servers.data]
    wanted, _ = [int(text.partition(b"master_repl_offset:")[2].split()[0]) for text in offsets]

    async def caught_up() -> bool:
        text = await servers.ask(servers.data[1], "INFO", "replication")
        return int(text.partition(b"slave_repl_offset:")[2].split()[0]) >= wanted

    await until(caught_up, "a replica that has everything")
    return True


async def _submitted(shard: Shard, count: int) -> None:
    """As a client does it: again while the server is not there."""
    before = len(shard.submitted)

    async def submit() -> bool:
        del shard.submitted[before:]
        try:
            await shard.submit(count)
        except (StoreUnreachable, StoreError):
            return False
        return True

    await eventually(submit, FOLLOW_TIMEOUT_S)


def pools_on_two_nodes(cluster_shares: int = 3) -> tuple[str, str]:
    """Two pools whose hash tags fall into the slots of two nodes."""
    share = 16_384 // cluster_shares + 1
    by_node: dict[int, str] = {}
    for number in range(100):
        by_node.setdefault(slot_of(ShardKeys(f"pool-{number}", 0).meta) // share, f"pool-{number}")
    return by_node[0], by_node[1]


async def test_cluster_serves_shards_on_several_nodes_through_a_move_and_a_promotion() -> None:
    first, second = pools_on_two_nodes()
    async with (
        formed(Cluster, VALKEY) as cluster,
        shard_on(cluster.url, first) as one,
        shard_on(cluster.url, second) as other,
    ):
        slot = slot_of(one.store.keys.meta)
        origin = await cluster.owner(slot, cluster.primaries[0])
        assert origin is not await cluster.owner(slot_of(other.store.keys.meta), origin)
        async with leading(one), leading(other), working(one, app, "w", 4), working(other, app, "w", 4):
            await one.submit(20)
            await other.submit(20)
            await one.all_succeed()
            await other.all_succeed()
            # the slot goes to another node while tasks run and more arrive
            target = next(node for node in cluster.primaries if node is not origin)
            await one.submit(40, ms=100.0)
            await cluster.move(slot, target, keys_at_once=2, pause_s=0.002)
            await _submitted(one, 20)
            await one.all_succeed(FOLLOW_TIMEOUT_S)
            # its new node dies with tasks out, and its replica is promoted
            await one.submit(20, ms=300.0)
            await asyncio.sleep(0.2)
            target.kill()
            await _submitted(one, 20)
            await one.all_succeed(FOLLOW_TIMEOUT_S)
            await _submitted(other, 20)
            await other.all_succeed(FOLLOW_TIMEOUT_S)


async def test_call_while_a_slot_moves_is_refused_whole_and_reads_follow() -> None:
    async with formed(Cluster, REDIS, replicas=0) as cluster:
        store, submitter = RedisLeaderStore(cluster.url, "p"), RedisSubmitterStore(cluster.url, "p")
        await store.open()
        lease = await store.acquire("a", "n", None)
        assert isinstance(lease, Lease)
        slot, absent = slot_of(store.keys.meta), store.keys.absent
        inspector = RedisInspectorStore(cluster.url, "p")
        facts = await examine_server(inspector.client)
        assert (facts.clustered_url, facts.cluster_state, facts.slots_moving) == (True, "ok", False)
        origin = await cluster.owner(slot, cluster.primaries[0])
        target = next(node for node in cluster.primaries if node is not origin)
        await ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", await cluster.id_of(origin))
        await ask(origin, "CLUSTER", "SETSLOT", slot, "MIGRATING", await cluster.id_of(target))
        assert (await examine_server(inspector.client)).slots_moving
        for moved in (b"", store.keys.meta):  # with the declared key here, and there
            if moved:
                await ask(origin, "MIGRATE", "127.0.0.1", target.port, moved, 0, 5_000)
            with pytest.raises(StoreMoved):
                await store.renew(lease)
            assert await store.sequence() == 0  # one key: asked where it is
        assert await ask(origin, "CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        for node in (target, origin):
            await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", await cluster.id_of(target))
        await store.renew(lease)
        assert (await inspector.meta()).renewals == 1
        assert await inspector.mend("stray", "7") == 0
        assert await inspector.client.call("EXISTS", absent) == 0
        await _takes_in_a_stream_of_another_node(cluster, store, lease, submitter)
        for opened in (inspector, submitter, store):
            await opened.close()
        alone = RedisLeaderStore(origin.tcp_url, "p")
        with pytest.raises(StoreUnsuitable, match=r"redis\+cluster://"):
            await alone.acquire("a", "n", None)
        await alone.close()


async def _takes_in_a_stream_of_another_node(
    cluster: Cluster, store: RedisLeaderStore, lease: Lease, submitter: RedisSubmitterStore
) -> None:
    here = await cluster.owner(slot_of(store.keys.meta), cluster.primaries[0])
    nodes = {
        name: await cluster.owner(slot_of(name.encode()), here) for name in ("jobs-0", "jobs-1", "jobs-2", "jobs-3")
    }
    stream, there = next((name, node) for name, node in nodes.items() if node is not here)
    await ask(there, "XADD", stream, "*", "type", "where", "payload", "[]")
    follower = IntakeFollower(cluster.url, "p", 0, IntakeSettings(stream=stream), submitter)
    await follower.open()
    assert await follower.pump_once(lease) == 1
    assert follower.accepted == 1
    await follower.close()
