"""Every check of the doctor, on facts as they are and as they should not be."""

from __future__ import annotations

import pytest
from msgspec import structs

from nexus_sched.checkup import Check, Level, PoolFacts, ShardBounds, check_pool, check_server, check_shard
from nexus_sched.model.durability import RELAXED, REPLICATED, STRICT
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
        ({"cluster": True}, "cluster", Level.FAIL),
        ({"cluster": True, "clustered_url": True, "cluster_state": "fail"}, "cluster", Level.FAIL),
        (
            {"cluster": True, "clustered_url": True, "cluster_state": "ok", "slots_moving": True},
            "cluster",
            Level.WARN,
        ),
        ({"sentinels": 3, "sentinels_answering": 2}, "sentinels", Level.WARN),
        ({"sentinels": 3, "sentinels_answering": 1}, "sentinels", Level.FAIL),
        ({"evicted_keys": 3}, "evictions", Level.WARN),
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


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": True, "clustered_url": True, "cluster_state": "ok"},
        {"sentinels": 3, "sentinels_answering": 3},
        {"evicted_keys": 0},
    ],
)
def test_servers_that_belong_together_pass_if_all_is_well(changes):
    assert wrong(check_server(structs.replace(SERVER, **changes))) == []


@pytest.mark.parametrize(
    ("level", "changes", "found"),
    [
        (RELAXED, {"append_fsync": "everysec"}, []),
        (RELAXED, {"append_only": False}, [("durability", Level.WARN)]),
        (REPLICATED, {"append_fsync": "everysec", "replicas": 2}, []),
        (REPLICATED, {"replicas": 1}, [("durability", Level.WARN)]),
        (REPLICATED, {"replicas": 0}, [("durability", Level.FAIL)]),
        (REPLICATED, {"replicas": None}, [("durability", Level.WARN)]),
    ],
)
def test_server_is_held_to_the_level_that_is_promised(level: str, changes, found):
    assert wrong(check_server(structs.replace(SERVER, **changes), level)) == found


def test_shard_whose_scheduler_promises_something_else_is_told():
    bounds = structs.replace(BOUNDS, durability=STRICT)
    assert wrong(check_shard(structs.replace(SHARD, durability=RELAXED), bounds)) == [("level", Level.WARN)]
    assert wrong(check_shard(structs.replace(SHARD, durability=STRICT), bounds)) == []
    assert wrong(check_shard(SHARD, bounds)) == []


def test_alarms_and_an_exporter_that_falls_behind_are_told():
    assert wrong(check_shard(structs.replace(SHARD, alarms=("so and so",)), BOUNDS)) == [("alarm", Level.FAIL)]
    late = structs.replace(SHARD, export_lag=60, export_max=100)
    assert wrong(check_shard(late, BOUNDS)) == [("exporter", Level.WARN)]
    assert wrong(check_shard(structs.replace(late, export_lag=40), BOUNDS)) == []


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
