"""Model-based: the same random calls on memory and on a real server get the same answers."""

from __future__ import annotations

from nexus_sched.testing.conformance import Stage
from nexus_sched.testing.script import Player, Writer
from nexus_sched.testing.servers import TestServer
from nexus_sched.testing.stores import MemoryFactory, RedisFactory

SEQUENCES = 300
CALLS = 30
SEED = 20_261_121


async def play_both(seed: int, server: TestServer, pool: str) -> None:
    memory = MemoryFactory()
    async with Stage(memory) as left, Stage(RedisFactory(server.url, f"{pool}-{seed}")) as right:
        players = Player(left), Player(right)
        for player in players:
            await player.open()
        writer = Writer(seed, memory.shard)
        told = []
        for _ in range(CALLS):
            operation = writer.next()
            told.append(operation[0])
            expected, got = [await player.play(operation) for player in players]
            assert got == expected, f"seed {seed}, call {len(told)}:\n" + "\n".join(told)
        expected, got = [await player.everything() for player in players]
        assert got == expected, f"seed {seed}, state at the end:\n" + "\n".join(told)


async def test_server_random_calls_are_answered_as_in_memory(server: TestServer, pool: str) -> None:
    for seed in range(SEED, SEED + SEQUENCES):
        await play_both(seed, server, pool)
