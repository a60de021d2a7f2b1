"""Every check of the doctor, on facts as they are and as they should not be."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.checkup import Check, Level, PoolFacts, ShardBounds, check_pool, check_server, check_shard
from nexus_sched.model.examination import ServerFacts, ShardFacts

SERVER = ServerFacts(
    product="valkey",
    version=(9, 1, 0),
    round_trip_ms=0.1,
    clock_offset_ms=3.0,
    role="master",
    replicas=1,
    cluster=False,
    append_only=True,
    append_fsync="always",
    write_failed=False,
    memory_used_bytes=10 * 2**20,
    memory_max_bytes=2**30,
    memory_policy="noeviction",
    clients=10,
    clients_max=1_000,
    library="current",
)
SHARD = ShardFacts(
    exists=True,
    owner="host:1",
    renewed=True,
    seq=7,
    queued={"q:5": 10, "q:r": 0},
    payload_bytes=100,
    oldest_waiting_ms=5,
    workers_registered=2,
    workers_beating=2,
    letters=0,
    letters_dropped=0,
)
BOUNDS = ShardBounds(1_000, 10_000)


def wrong(checks: list[Check]) -> list[tuple[str, Level]]:
    for check in checks:
        assert bool(check.fix) == (check.level is not Level.OK), check
    return [(check.name, check.level) for check in checks if check.level is not Level.OK]


def test_sound_server_and_shard_pass_every_check():
    assert wrong(check_server(SERVER)) == []
    assert wrong(check_shard(SHARD, BOUNDS)) == []


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({"version": (7, 0, 15)}, "server", Level.FAIL),  # of Valkey, the first with functions is 7.2
        ({"library": "missing"}, "functions", Level.WARN),
        ({"library": "other"}, "functions", Level.WARN),
        ({"library": None}, "functions", Level.WARN),
        ({"role": "slave"}, "role", Level.FAIL),
        ({"role": None}, "role", Level.WARN),
        ({"cluster": True}, "cluster", Level.WARN),
        ({"memory_policy": "allkeys-lru"}, "eviction", Level.FAIL),
        ({"memory_policy": None}, "eviction", Level.WARN),
        ({"append_only": False}, "durability", Level.WARN),
        ({"append_only": None}, "durability", Level.WARN),
        ({"append_fsync": "everysec"}, "durability", Level.WARN),
        ({"append_fsync": None}, "durability", Level.WARN),
        ({"write_failed": True}, "disk", Level.FAIL),
        ({"memory_used_bytes": 2**30}, "memory", Level.WARN),
        ({"memory_max_bytes": 0}, "memory", Level.WARN),
        ({"memory_used_bytes": None}, "memory", Level.WARN),
        ({"clients": 900}, "clients", Level.WARN),
        ({"round_trip_ms": 20.0}, "latency", Level.WARN),
        ({"clock_offset_ms": -5_000.0}, "clock", Level.WARN),
    ],
)
def test_fact_of_a_server_that_is_not_as_it_should_be_is_said_with_a_remedy(changes, name: str, level: Level):
    assert wrong(check_server(structs.replace(SERVER, **changes))) == [(name, level)]


def test_evicting_policy_without_a_bound_is_only_a_warning():
    facts = structs.replace(SERVER, memory_policy="allkeys-lru", memory_max_bytes=0)
    assert wrong(check_server(facts)) == [("eviction", Level.WARN), ("memory", Level.WARN)]


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({"exists": False, "owner": ""}, "scheduler", Level.WARN),
        ({"owner": ""}, "scheduler", Level.FAIL),
        ({"renewed": False}, "scheduler", Level.FAIL),
        ({"workers_registered": 0, "workers_beating": 0}, "workers", Level.WARN),
        ({"workers_beating": 1}, "workers", Level.WARN),
        ({"workers_beating": 0}, "workers", Level.FAIL),
        ({"queued": {"q:5": 900}}, "queue", Level.WARN),
        ({"payload_bytes": 9_000}, "queue", Level.WARN),
        ({"oldest_waiting_ms": 3_600_000}, "waiting", Level.WARN),
        ({"letters": 1}, "dead letters", Level.WARN),
        ({"letters": 10_000, "letters_dropped": 3}, "dead letters", Level.WARN),
    ],
)
def test_fact_of_a_shard_that_is_not_as_it_should_be_is_said_with_a_remedy(changes, name: str, level: Level):
    assert wrong(check_shard(structs.replace(SHARD, **changes), BOUNDS)) == [(name, level)]


@pytest.mark.parametrize(
    ("settled", "wanted", "owners", "found"),
    [
        (1, None, ("a",), []),
        (0, 3, ("",), []),
        (3, None, ("a", "b", "c"), []),
        (4, 4, ("a", "b", "b", "a"), []),
        (3, 2, ("a", "b", "c"), [("shards", Level.FAIL)]),
        (1, 2, ("a",), [("shards", Level.FAIL)]),
        (3, 3, ("a", "a", "a"), [("spread", Level.WARN)]),
        (4, None, ("a", "a", "a", "b"), [("spread", Level.WARN)]),
        (3, None, ("", "", ""), []),  # each shard says that nobody leads it
    ],
)
def test_pool_is_split_as_configured_and_its_shards_are_shared(
    settled: int, wanted: int | None, owners: tuple[str, ...], found: list[tuple[str, Level]]
):
    assert wrong(check_pool(PoolFacts(settled=settled, wanted=wanted, owners=owners))) == found
