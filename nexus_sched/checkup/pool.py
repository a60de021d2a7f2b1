"""Whether a pool is split as the configuration says, and its shards are shared. Pure: facts in, checks out."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from nexus_sched.checkup.check import Check, fail, ok, warn


class PoolFacts(Struct, frozen=True, kw_only=True):
    """What is known of a pool as a whole."""

    settled: int  # shards; 0: nobody has served it yet
    wanted: int | None  # shards by the configuration, `None` if it does not say
    owners: tuple[str, ...] = ()  # of the leases of all shards, empty where nobody leads


def check_pool(facts: PoolFacts) -> list[Check]:
    """All checks of a pool; of one that has one shard, and should have, there is nothing to say."""
    if facts.wanted not in (None, facts.settled) and facts.settled:
        sentence = f"the pool has {_shards(facts.settled)}, the configuration splits it into {facts.wanted}"
        return [fail("shards", sentence, f"write shards = {facts.settled}, or give the pool another name")]
    if facts.settled <= 1:
        return []
    return [ok("shards", _shards(facts.settled)), _spread(facts)]


def _spread(facts: PoolFacts) -> Check:
    led = Counter(owner for owner in facts.owners if owner)
    sentence = f"{sum(led.values())} led, by {len(led)} scheduler{'' if len(led) == 1 else 's'}"
    if len(led) == 1:
        return warn("spread", sentence, "start a second scheduler: it stands by for all of them, and leads half")
    if led and max(led.values()) - min(led.values()) > 1:
        fix = "wait: they are shared out anew when schedulers come and go, half a minute later at most"
        return warn("spread", f"{sentence}, {max(led.values())} by one and {min(led.values())} by another", fix)
    return ok("spread", sentence)


def _shards(count: int) -> str:
    return "1 shard" if count == 1 else f"{count} shards"
