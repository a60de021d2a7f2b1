"""Who should lead which shard, and who should stand by for it: a pure function of what the replicas say.

Laws of this file:
  1. All who hear the same come to the same answer, whoever asks, in whatever order; nothing is remembered.
  2. Of `n` shards that the same `r` replicas serve, each leads `n / r`, rounded down or up, and stands by for as many.
  3. Who leads and who stands by are two, where there are two.
  4. Whoever leads a shard goes on, as long as law 2 allows it, and so does whoever stands by with a warm engine: no
     more shards move than evenness asks for, and none once it is reached.
  5. Where nobody is, and where somebody has to give, a warm engine comes first, then what a hash of both names says.
     Source of the latter: rendezvous hashing, Thaler and Ravishankar, 1998, with the bound on loads of Mirrokni, Thorup
     and Zadimoghaddam, 2018: pairs are taken in the order of their weights, as long as the replica has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from nexus_sched.model.replica import Announcement, ShardId
from nexus_sched.sharding.hashing import weight

Ranks = dict[ShardId, tuple[str, ...]]  # who should lead, then who should stand by
Pair = tuple[ShardId, str]  # a shard, and a replica that does something for it


def spread(there: Mapping[str, Announcement]) -> Ranks:
    """The ranks of every shard, from what each replica that is there says of itself."""
    leads = {(shard, replica) for replica, each in there.items() for shard in each.leads}
    warm = {(shard, replica) for replica, each in there.items() for shard, _ in each.warm}
    ranks: Ranks = {}
    for replicas, shards in _groups(there):
        leading = _dealt(shards, dict.fromkeys(shards, replicas), replicas, "lead", (leads, warm))
        others = {shard: [replica for replica in replicas if replica != leading[shard]] for shard in shards}
        standing = _dealt(shards, others, replicas, "stand by", (warm,)) if len(replicas) > 1 else {}
        ranks |= {shard: (leading[shard], *([standing[shard]] if shard in standing else [])) for shard in shards}
    return ranks


def _groups(there: Mapping[str, Announcement]) -> Iterator[tuple[list[str], list[ShardId]]]:
    """Shards that the very same replicas serve, dealt out among these."""
    by_pool: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for replica, each in there.items():
        for pool, count in each.serves.items():
            by_pool.setdefault(pool, set()).add(replica)
            counts[pool] = max(counts[pool], count)
    groups: dict[tuple[str, ...], list[ShardId]] = {}
    for pool in sorted(by_pool):
        shards = [ShardId(pool, number) for number in range(counts[pool])]
        groups.setdefault(tuple(sorted(by_pool[pool])), []).extend(shards)
    for replicas in sorted(groups):
        yield list(replicas), groups[replicas]


def _dealt(
    shards: Sequence[ShardId],
    eligible: Mapping[ShardId, Collection[str]],
    replicas: Sequence[str],
    role: str,
    kept: Sequence[Collection[Pair]],
) -> dict[ShardId, str]:
    """One replica for each shard, evenly: pairs of the first set in `kept` first, and of those what suits best."""
    least, more = divmod(len(shards), len(replicas))  # `more` of them get one more than the others

    def suits(pair: Pair) -> tuple[object, ...]:
        shard, replica = pair
        return *(pair in first for first in kept), weight(role, replica, str(shard)), pair

    pairs = sorted(((shard, replica) for shard in shards for replica in eligible[shard]), key=suits, reverse=True)
    dealt: dict[ShardId, str] = {}
    load: Counter[str] = Counter()
    for shard, replica in pairs:
        if shard in dealt or load[replica] > least or (load[replica] == least and not more):
            continue
        more -= load[replica] == least
        dealt[shard] = replica
        load[replica] += 1
    for shard in shards:
        if shard not in dealt:  # whoever has room left must not have it: it takes another one instead
            roomy = min(replicas, key=lambda replica: load[replica])
            fitting = (other for other in dealt if roomy in eligible[other] and dealt[other] in eligible[shard])
            if (swapped := next(fitting, None)) is None:
                roomy = dealt[shard] = min(sorted(eligible[shard]), key=lambda replica: load[replica])
            else:
                dealt[shard], dealt[swapped] = dealt[swapped], roomy
            load[roomy] += 1
    return dealt
