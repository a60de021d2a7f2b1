"""Who should lead which shard, and who should stand by for it: a pure function of who is there.

Laws of this file:
  1. All who see the same replicas come to the same answer, whoever asks, in whatever order; nothing is remembered.
  2. Of `n` shards that the same `r` replicas serve, each leads `n / r`, rounded down or up, and stands by for as many.
  3. Who leads and who stands by are two, where there are two.
  4. What suits best is decided by hash, so that little moves when a replica comes or goes. Source: rendezvous hashing,
     Thaler and Ravishankar, 1998, with the bound on loads of Mirrokni, Thorup and Zadimoghaddam, 2018: pairs are taken
     in the order of their weights, as long as the replica has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from nexus_sched.model.replica import ShardId
from nexus_sched.sharding.hashing import weight

Ranks = dict[ShardId, tuple[str, ...]]  # who should lead, then who should stand by


def spread(serving: Mapping[str, Mapping[str, int]]) -> Ranks:
    """The ranks of every shard, from who serves which pools: replica -> pool -> number of shards."""
    ranks: Ranks = {}
    for replicas, shards in _groups(serving):
        leads = _dealt(shards, dict.fromkeys(shards, replicas), replicas, "lead")
        others = {shard: [replica for replica in replicas if replica != leads[shard]] for shard in shards}
        stands_by = _dealt(shards, others, replicas, "stand by") if len(replicas) > 1 else {}
        ranks |= {shard: (leads[shard], *([stands_by[shard]] if shard in stands_by else [])) for shard in shards}
    return ranks


def _groups(serving: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[list[str], list[ShardId]]]:
    """Shards that the very same replicas serve, dealt out among these."""
    by_pool: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for replica, pools in serving.items():
        for pool, count in pools.items():
            by_pool.setdefault(pool, set()).add(replica)
            counts[pool] = max(counts[pool], count)
    groups: dict[tuple[str, ...], list[ShardId]] = {}
    for pool in sorted(by_pool):
        shards = [ShardId(pool, number) for number in range(counts[pool])]
        groups.setdefault(tuple(sorted(by_pool[pool])), []).extend(shards)
    for replicas in sorted(groups):
        yield list(replicas), groups[replicas]


def _dealt(
    shards: Sequence[ShardId], eligible: Mapping[ShardId, Collection[str]], replicas: Sequence[str], role: str
) -> dict[ShardId, str]:
    """One replica for each shard, evenly, the pairs that suit best first."""
    least, more = divmod(len(shards), len(replicas))  # `more` of them get one more than the others
    pairs = sorted(
        ((weight(role, replica, str(shard)), shard, replica) for shard in shards for replica in eligible[shard]),
        reverse=True,
    )
    dealt: dict[ShardId, str] = {}
    load: Counter[str] = Counter()
    for _, shard, replica in pairs:
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
