"""Plain XADD by producers that know nothing of this package: scheduled, run and answered like any task."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from redis.asyncio import Redis

from tests.integration.application import app
from tests.integration.programs import Programs
from tests.integration.shard import Shard, eventually, working

CONFIGURATION = """
[[intake]]
stream = "orders-{pool}"
codec = "json"
fields = {{ type = "kind", payload = "body", id = "order" }}

[[intake]]
stream = "events-{pool}"
codec = "msgpack"
document = "data"
"""


async def test_entries_of_foreign_streams_are_scheduled_and_bad_ones_are_dead_letters(
    shard: Shard, programs: Programs, tmp_path: Path
) -> None:
    orders, events = f"orders-{shard.pool}", f"events-{shard.pool}"
    configuration = tmp_path / "nexus.toml"
    configuration.write_text(CONFIGURATION.format(pool=shard.pool))
    async with Redis.from_url(shard.url) as producer, working(shard, app, "w-0", 4):
        for number in range(10):  # before anybody listens
            await producer.xadd(orders, {"kind": "where", "body": json.dumps([1]), "order": f"order-{number}"})
        scheduler = programs.start("run", "--config", str(configuration))
        await producer.xadd(orders, {"kind": "where", "body": "[1", "order": "order-cut"})
        await producer.xadd(orders, {"kind": "no type/ at all", "body": "[1]", "order": "order-odd"})
        await producer.xadd(orders, {"kind": "where", "body": json.dumps([1]), "order": "order-0"})
        for _ in range(10):  # without an id
            document = msgspec.msgpack.encode({"type": "where", "payload": {"ms": 1}})
            await producer.xadd(events, {"data": document})
        await producer.xadd(events, {"data": b"\xc1 not MessagePack"})
        wanted = [f"order-{number}" for number in range(10)]
        await eventually(lambda: _all_succeeded(shard, wanted))
        await eventually(lambda: _counted(shard, "finished", 20))
        await eventually(lambda: _counted(shard, "failed", 1))  # the payload that is cut off: its worker's refusal
        letters = [str(fields) for _, fields in await producer.xrange(shard.store.keys.dead)]
        assert len(letters) == 2, letters
        assert sum(orders in letter for letter in letters) == sum(events in letter for letter in letters) == 1
        assert not scheduler.ended()
        frame = await shard.frame()
    assert frame is not None
    assert frame.counters["submitted"] == 21, "the repeated order counts once"


async def _all_succeeded(shard: Shard, ids: list[str]) -> bool:
    records = [await shard.store.record(task_id) for task_id in ids]
    return all(record is not None and record.outcome == "succeeded" for record in records)


async def _counted(shard: Shard, counter: str, count: int) -> bool:
    frame = await shard.frame()
    return frame is not None and frame.counters[counter] == count
