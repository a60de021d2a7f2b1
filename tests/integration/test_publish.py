"""`dispatch.publish`: workers that listen to pub/sub hear of each dispatch; the inbox stays the truth."""

from __future__ import annotations

import asyncio
import json

import pytest

from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.replies import Reply
from nexus_sched.adapters.redis.resp import dial, pack
from tests.integration.application import app
from tests.integration.shard import Shard, eventually, leading, working


@pytest.mark.parametrize("publish", [True, False])
async def test_dispatches_are_published_if_and_only_if_it_is_switched_on(shard: Shard, publish: bool) -> None:
    messages: list[tuple[bytes, bytes]] = []
    standing = asyncio.Event()
    worker = f"{shard.pool}-w"  # channels are the whole server's, the name makes it this test's own

    def on_message(reply: Reply) -> None:
        if reply[0] == b"message":
            messages.append((reply[1], reply[2]))
        else:
            standing.set()

    listener = await dial(parse_address(shard.url), on_message)
    try:
        listener.write(pack((b"SUBSCRIBE", b"nexus:dispatch:" + worker.encode())))
        await asyncio.wait_for(standing.wait(), 5.0)
        async with leading(shard, publish=publish), working(shard, app, worker, 2):
            ids = await shard.submit(10)
            await shard.all_succeed()
            if publish:
                await eventually(lambda: len(messages) == 10)
    finally:
        listener.lose("the test is over")
        await listener.closed
    told = [json.loads(body) for _, body in messages]
    assert told == ([{"task_id": task_id, "attempt": 1} for task_id in ids] if publish else [])
