"""Who should lead which shard: evenly, the same for all who ask, and nothing moves that need not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from nexus_sched.model.replica import Announcement, ShardId
from nexus_sched.sharding.hashing import order_for, shard_of
from nexus_sched.sharding.spread import Ranks, spread

SEED = 20_261_122
CASES = 2_000
MOVING_CASES = 400
ROUNDS_MAX = 100  # more than any fleet of these sizes needs: a shard moves once, a standby a few times


def replicas(count: int, prefix: str = "r") -> list[str]:
    return [f"host-{prefix}{number}:{prefix}{number}:{number}" for number in range(count)]


def of_pools(serving: Mapping[str, Mapping[str, int]]) -> dict[str, Announcement]:
    """Replicas that have just started: pool -> number of shards, of each."""
    return {name: Announcement(beat=1, serves=dict(pools)) for name, pools in serving.items()}


def loads(ranks: Ranks, rank: int) -> Counter[str]:
    return Counter(each[rank] for each in ranks.values() if len(each) > rank)


class Fleet:
    """Replicas of one group, that lead and stand by for what they once came to, and follow the ranks from there on."""

    def __init__(self, generator: random.Random, names: Iterable[str], pools: Mapping[str, int]) -> None:
        self.names = list(names)
        self.pools = dict(pools)
        self.shards = [ShardId(pool, number) for pool, count in pools.items() for number in range(count)]
        self.generator = generator
        self.leader: dict[ShardId, str] = {}
        self.warm: set[tuple[ShardId, str]] = set()

    def led_by(self, leaders: Iterable[str], warm_share: float = 0.0) -> Fleet:
        self.leader = dict(zip(self.shards, leaders, strict=True))
        pairs = ((shard, name) for shard in self.shards for name in self.names if self.leader[shard] != name)
        self.warm = {pair for pair in pairs if self.generator.random() < warm_share}
        return self

    def led_by_chance(self) -> Fleet:
        return self.led_by(self.generator.choices(self.names, k=len(self.shards)), self.generator.random())

    def ranks(self) -> Ranks:
        leads = {name: [shard for shard, leader in self.leader.items() if leader == name] for name in self.names}
        warm = {name: sorted((shard, 1) for shard, other in self.warm if other == name) for name in self.names}
        return spread(
            {
                name: Announcement(beat=1, serves=self.pools, leads=leads[name], warm=warm[name])
                for name in self.generator.sample(self.names, len(self.names))
            }
        )

    def step(self) -> bool:
        """Some come to follow what they should, or leave what they should not, or one hands over; `False` at rest."""
        ranks = self.ranks()
        should = {(shard, name) for shard, each in ranks.items() for name in each if name != self.leader[shard]}
        changes = [*sorted(should - self.warm), *sorted(self.warm - should)]
        moves = [shard for shard, each in sorted(ranks.items()) if self.leader[shard] != each[0]]
        ready = [shard for shard in moves if (shard, ranks[shard][0]) in self.warm]
        for pair in self.generator.sample(changes, self.generator.randint(0, len(changes))):
            self.warm ^= {pair}
        if ready and self.generator.random() < 0.5:
            shard = self.generator.choice(ready)
            self.leader[shard] = ranks[shard][0]
            self.warm.discard((shard, self.leader[shard]))
        return bool(changes or moves)

    def must_move(self) -> int:
        """How many shards have to move at least until all are led evenly."""
        least, more = divmod(len(self.shards), len(self.names))
        led = Counter(self.leader.values())
        keeping = sum(min(led[name], least) for name in self.names)
        return len(self.shards) - keeping - min(more, sum(led[name] > least for name in self.names))


def test_spread_thousands_of_fleets_are_led_evenly_and_by_two_different_replicas():
    generator = random.Random(SEED)
    for case in range(CASES):
        names = replicas(generator.randint(1, 12), f"c{case}-")
        pools = {f"pool-{number}": generator.randint(1, 9) for number in range(generator.randint(1, 5))}
        fleet = Fleet(generator, names, pools)
        ranks = spread(of_pools(dict.fromkeys(names, pools))) if case % 2 else fleet.led_by_chance().ranks()
        where = f"seed {SEED}, case {case}"
        assert len(ranks) == sum(pools.values()), where
        for rank in range(min(2, len(names))):
            load = loads(ranks, rank)
            counts = [load[name] for name in names]
            assert max(counts) - min(counts) <= 1, where
        assert all(len(set(each)) == len(each) == min(2, len(names)) for each in ranks.values()), where


def test_spread_hundreds_of_fleets_come_to_rest_with_as_few_moves_as_evenness_asks_for():
    generator = random.Random(SEED)
    for case in range(MOVING_CASES):
        names = replicas(generator.randint(1, 7), f"c{case}-")
        pools = {f"pool-{number}": generator.randint(1, 6) for number in range(generator.randint(1, 3))}
        fleet = Fleet(generator, names, pools).led_by_chance()
        where = f"seed {SEED}, case {case}"
        led, must = dict(fleet.leader), fleet.must_move()
        rounds = 0
        while fleet.step():
            rounds += 1
            assert rounds < ROUNDS_MAX, where
        assert sum(led[shard] != fleet.leader[shard] for shard in led) == must, where
        leading = [list(fleet.leader.values()).count(name) for name in names]
        standing = [sum(other == name for _, other in fleet.warm) for name in names]
        assert max(leading) - min(leading) <= 1, where
        assert max(standing) - min(standing) <= 1, where
        assert sum(standing) == (len(led) if len(names) > 1 else 0), where


def test_spread_shards_that_are_led_evenly_stay_where_they_are():
    generator = random.Random(SEED)
    for case in range(MOVING_CASES):
        names = replicas(generator.randint(1, 7), f"c{case}-")
        fleet = Fleet(generator, names, {"a": generator.randint(1, 20), "b": 1})
        dealt = [names[number % len(names)] for number in range(len(fleet.shards))]
        fleet.led_by(generator.sample(dealt, len(dealt)), generator.random())
        assert {shard: each[0] for shard, each in fleet.ranks().items()} == fleet.leader, f"seed {SEED}, case {case}"


def test_spread_one_shard_stays_with_its_leader_whoever_joins():
    for number in range(50):
        first, *others = replicas(4, f"t{number}-")
        fleet = Fleet(random.Random(number), [first, *others], {"p": 1}).led_by([first])
        assert fleet.ranks()[ShardId("p", 0)][0] == first


def test_spread_depends_on_what_is_said_and_on_nothing_else():
    generator = random.Random(SEED)
    for _ in range(300):
        fleet = Fleet(generator, replicas(generator.randint(1, 8)), {"a": generator.randint(1, 6), "b": 2, "c": 1})
        fleet.led_by_chance()
        assert fleet.ranks() == fleet.ranks()  # each time the replicas come in another order


def test_spread_shard_that_nobody_leads_goes_to_whoever_is_warm():
    for number in range(20):
        names = replicas(3, f"t{number}-")
        there = of_pools({name: {"p": 3} for name in names})
        for at, name in enumerate(names):
            there[name] = Announcement(beat=1, serves={"p": 3}, warm=[(ShardId("p", at), 7)])
        assert [each[0] for each in spread(there).values()] == names


@pytest.mark.parametrize(("shards", "count"), [(3, 3), (12, 4), (64, 8), (7, 3), (1, 5)])
def test_spread_only_what_nobody_leads_any_more_moves_when_a_replica_leaves(shards: int, count: int):
    for trial in range(60):
        names = replicas(count, f"t{trial}-")
        fresh = spread(of_pools({name: {"p": shards} for name in names}))
        left = names[trial % count]
        staying = [name for name in names if name != left]
        there = {
            name: Announcement(
                beat=2, serves={"p": shards}, leads=[shard for shard, each in fresh.items() if each[0] == name]
            )
            for name in staying
        }
        after = spread(there)
        assert [shard for shard in fresh if fresh[shard][0] != after[shard][0]] == [
            shard for shard, each in fresh.items() if each[0] == left
        ]


def test_spread_pools_that_different_replicas_serve_are_dealt_out_among_these():
    ranks = spread(of_pools({"one": {"a": 4}, "two": {"a": 4}, "three": {"b": 1}, "four": {"c": 2, "d": 1}}))
    assert loads(ranks, 0) == {"one": 2, "two": 2, "three": 1, "four": 3}
    assert ranks[ShardId("b", 0)] == ("three",)


def test_spread_of_replicas_that_disagree_about_the_number_covers_all_shards():
    ranks = spread(of_pools({"one": {"a": 2}, "two": {"a": 5}}))
    assert set(ranks) == {ShardId("a", number) for number in range(5)}


def test_spread_of_replicas_that_both_say_to_lead_a_shard_names_one_of_them():
    both = {name: Announcement(beat=1, serves={"a": 1}, leads=[ShardId("a", 0)]) for name in replicas(2)}
    assert spread(both)[ShardId("a", 0)] in [tuple(replicas(2)), tuple(reversed(replicas(2)))]


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
