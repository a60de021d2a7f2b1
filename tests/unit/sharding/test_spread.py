"""Who should lead which shard: evenly, the same for all who ask, and little moves when somebody comes or goes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from nexus_sched.model.replica import ShardId
from nexus_sched.sharding.hashing import order_for, shard_of
from nexus_sched.sharding.spread import Ranks, spread

SEED = 20_261_122
CASES = 2_000


def replicas(count: int, prefix: str = "r") -> list[str]:
    return [f"host-{prefix}{number}:{prefix}{number}:{number}" for number in range(count)]


def loads(ranks: Ranks, rank: int) -> Counter[str]:
    return Counter(each[rank] for each in ranks.values() if len(each) > rank)


def test_spread_thousands_of_fleets_are_led_evenly_and_by_two_different_replicas():
    generator = random.Random(SEED)
    for case in range(CASES):
        names = replicas(generator.randint(1, 12), f"c{case}-")
        pools = {f"pool-{number}": generator.randint(1, 9) for number in range(generator.randint(1, 5))}
        ranks = spread(dict.fromkeys(names, pools))
        where = f"seed {SEED}, case {case}"
        assert len(ranks) == sum(pools.values()), where
        for rank in range(min(2, len(names))):
            load = loads(ranks, rank)
            counts = [load[name] for name in names]
            assert max(counts) - min(counts) <= 1, where
        assert all(len(set(each)) == len(each) == min(2, len(names)) for each in ranks.values()), where


def test_spread_depends_on_who_is_there_and_on_nothing_else():
    generator = random.Random(SEED)
    for _ in range(300):
        names = replicas(generator.randint(1, 8))
        pools = [("a", generator.randint(1, 6)), ("b", 2), ("c", 1)]
        expected = spread({name: dict(pools) for name in names})
        generator.shuffle(names)
        generator.shuffle(pools)
        assert spread({name: dict(pools) for name in names}) == expected


@pytest.mark.parametrize(("shards", "count"), [(3, 3), (12, 4), (64, 8), (7, 3), (1, 5)])
def test_spread_little_moves_when_a_replica_leaves(shards: int, count: int):
    moved, must = 0, 0
    for trial in range(60):
        names = replicas(count, f"t{trial}-")
        before = spread({name: {"p": shards} for name in names})
        left = names[trial % count]
        after = spread({name: {"p": shards} for name in names if name != left})
        moved += sum(before[shard][0] != after[shard][0] for shard in before)
        must += sum(ranks[0] == left for ranks in before.values())
    assert must <= moved <= 2.0 * must + shards  # those of whoever left, and what evenness asks for besides


def test_spread_pools_that_different_replicas_serve_are_dealt_out_among_these():
    ranks = spread({"one": {"a": 4}, "two": {"a": 4}, "three": {"b": 1}, "four": {"c": 2, "d": 1}})
    assert loads(ranks, 0) == {"one": 2, "two": 2, "three": 1, "four": 3}
    assert ranks[ShardId("b", 0)] == ("three",)


def test_spread_of_replicas_that_disagree_about_the_number_covers_all_shards():
    ranks = spread({"one": {"a": 2}, "two": {"a": 5}})
    assert set(ranks) == {ShardId("a", number) for number in range(5)}


def test_task_goes_to_the_shard_of_its_checksum_and_shards_get_about_as_many():
    assert [shard_of(name, 3) for name in ("", "a", "order-17")] == [0, 0, 2]  # CRC-32, as the protocol page says
    counts = Counter(shard_of(f"task-{number}", 7) for number in range(70_000))
    assert max(counts.values()) < 1.05 * 10_000
    assert min(counts.values()) > 0.95 * 10_000


def test_order_of_a_worker_holds_all_shards_and_differs_between_workers():
    orders = [tuple(order_for(f"w-{number}", 5)) for number in range(50)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({order[0] for order in orders}) == 5
    assert order_for("w-1", 5) == order_for("w-1", 5)
