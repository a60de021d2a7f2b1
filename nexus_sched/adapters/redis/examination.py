"""Asks a server and a shard for the facts of `nexus-sched doctor`. Reads only; what is refused is left open."""

from __future__ import annotations

import asyncio
import statistics
import time

import msgspec

from nexus_sched.adapters.redis.inspector import RedisInspectorStore
from nexus_sched.adapters.redis.library import LIBRARY, LIBRARY_TEXT, REVISION, revision_of
from nexus_sched.adapters.redis.locator import SentinelLocator
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import Argument, RespClient
from nexus_sched.errors import StoreError, StoreUnreachable
from nexus_sched.model.examination import ServerFacts, ShardFacts
from nexus_sched.model.frame import decode_frame
from nexus_sched.runtime.ports import PRIORITY_STREAMS, RECLAIMED_STREAM
from nexus_sched.units import MS_PER_S

ROUND_TRIPS = 9


async def examine_server(client: RespClient) -> ServerFacts:
    """What the server says of itself. Raises `StoreUnreachable`, and the errors of logging in."""
    await client.open()
    info = await _info(client)
    settings = {name: await _setting(client, name) for name in ("appendfsync", "maxclients")}
    failed = info.get("aof_last_write_status") == "err" or info.get("rdb_last_bgsave_status") == "err"
    round_trip_ms, offset_ms = await _clock(client)
    locator = client.locator
    answering, sentinels = await locator.count_answering() if isinstance(locator, SentinelLocator) else (0, 0)
    is_node = info.get("cluster_enabled") == "1"
    version = info.get("valkey_version") or info.get("redis_version", "0")
    return ServerFacts(
        product="valkey" if "valkey_version" in info else "redis",
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        round_trip_ms=round_trip_ms,
        clock_offset_ms=offset_ms,
        role=info.get("role"),
        replicas=_number(info.get("connected_slaves")),
        cluster=info["cluster_enabled"] == "1" if "cluster_enabled" in info else None,
        append_only=info["aof_enabled"] == "1" if "aof_enabled" in info else None,
        append_fsync=settings["appendfsync"],
        write_failed=failed if info else None,
        memory_used_bytes=_number(info.get("used_memory")),
        memory_max_bytes=_number(info.get("maxmemory")),
        memory_policy=info.get("maxmemory_policy"),
        clients=_number(info.get("connected_clients")),
        clients_max=_number(settings["maxclients"]),
        evicted_keys=_number(info.get("evicted_keys")),
        clustered_url=locator.clustered,
        cluster_state=await _cluster_state(client) if is_node else None,
        slots_moving=is_node and await _moves_slots(client),
        sentinels=sentinels,
        sentinels_answering=answering,
        library=await _library(client),
    )


async def examine_shard(store: RedisInspectorStore, watch_ms: int) -> ShardFacts:
    """What lies in a shard; leases and heartbeats are watched for `watch_ms`, for only a change means anything."""
    client, keys = store.client, store.keys
    before, beats = await store.meta(), await _beats(store)
    queues = (*PRIORITY_STREAMS, RECLAIMED_STREAM)
    queued = {stream: int(await client.call(b"XLEN", keys.inputs[stream])) for stream in queues}
    oldest = [
        int(found[0][0].partition(b"-")[0])
        for stream in queues
        if queued[stream] and (found := await client.call(b"XRANGE", keys.inputs[stream], b"-", b"+", b"COUNT", 1))
    ]
    told = (b"dead_dropped", b"durability", b"export", b"export_max")
    dropped, level, exported, export_max = await client.call(b"HMGET", keys.meta, *told)
    letters = int(await client.call(b"XLEN", keys.dead))
    seconds, micros = await client.call(b"TIME")
    await asyncio.sleep(watch_ms / MS_PER_S)
    after, later = await store.meta(), await _beats(store)
    moved = [(meta.epoch, meta.renewals) for meta in (before, after) if meta is not None]
    return ShardFacts(
        exists=after is not None,
        owner="" if after is None else after.owner,
        renewed=len(moved) == 2 and moved[0] != moved[1],
        seq=0 if after is None else after.seq,
        queued=queued,
        payload_bytes=0 if after is None else after.payload_bytes,
        oldest_waiting_ms=max(0, int(seconds) * MS_PER_S + int(micros) // 1_000 - min(oldest)) if oldest else None,
        workers_registered=len(later),
        workers_beating=sum(beat != beats.get(worker) for worker, beat in later.items()),
        letters=letters,
        letters_dropped=int(dropped or 0),
        durability=(level or b"").decode(),
        export_lag=None if after is None or exported is None else after.seq - int(exported),
        export_max=int(export_max or 0),
        alarms=_alarms(await client.call(b"GET", keys.frame)),
    )


async def load_library(client: RespClient) -> None:
    """Load this version's functions, in place of another text if there is one."""
    await client.call("FUNCTION", "LOAD", "REPLACE", LIBRARY_TEXT)


def _alarms(frame: bytes | None) -> tuple[str, ...]:
    if frame is None:
        return ()
    try:
        return tuple(decode_frame(frame).alarms)
    except msgspec.MsgspecError:
        return ("the scheduler's picture is another version's",)


async def _cluster_state(client: RespClient) -> str | None:
    blob = await _or_none(client, b"CLUSTER", b"INFO") or b""
    return next((line[14:].decode() for line in blob.splitlines() if line.startswith(b"cluster_state:")), None)


async def _moves_slots(client: RespClient) -> bool:
    """Whether this node gives a slot away or takes one: its own line of CLUSTER NODES then ends with `[slot-...]`."""
    blob = await _or_none(client, b"CLUSTER", b"NODES") or b""
    return any(b"myself" in line and b"[" in line for line in blob.splitlines())


async def _info(client: RespClient) -> dict[str, str]:
    blob = await _or_none(client, b"INFO")
    lines = (line.partition(":") for line in (blob or b"").decode(errors="replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


async def _setting(client: RespClient, name: str) -> str | None:
    pair = await _or_none(client, b"CONFIG", b"GET", name)
    return pair[1].decode() if pair else None


async def _clock(client: RespClient) -> tuple[float, float]:
    """Median round trip, and how far the server's clock is ahead, both in ms."""
    spans_ms, offsets_ms = [], []
    for _ in range(ROUND_TRIPS):
        started_ns, wall_ns = time.perf_counter_ns(), time.time_ns()
        seconds, micros = await client.call(b"TIME")
        span_ns = time.perf_counter_ns() - started_ns
        spans_ms.append(span_ns / 1e6)
        offsets_ms.append(int(seconds) * 1e3 + int(micros) / 1e3 - (wall_ns + span_ns / 2) / 1e6)
    return statistics.median(spans_ms), statistics.median(offsets_ms)


async def _library(client: RespClient) -> str | None:
    listed = await _or_none(client, b"FUNCTION", b"LIST", b"LIBRARYNAME", LIBRARY, b"WITHCODE")
    if listed is None:
        return None
    if not listed:
        return "missing"
    row = dict(zip(listed[0][::2], listed[0][1::2], strict=True))
    text = row.get(b"library_code", b"")
    if text == LIBRARY_TEXT:
        return "current"
    return "newer" if revision_of(text) > REVISION else "other"


async def _beats(store: RedisInspectorStore) -> dict[bytes, bytes]:
    flat = await store.client.call(b"ZRANGE", store.keys.heartbeats, 0, -1, b"WITHSCORES")
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def _or_none(client: RespClient, *command: Argument) -> Reply:
    """The reply, or `None` if the server refuses the question."""
    try:
        return await client.call(*command)
    except StoreUnreachable:
        raise
    except StoreError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
