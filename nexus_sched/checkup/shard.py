"""Whether a shard is served. Pure: facts in, checks out."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from nexus_sched.checkup.check import Check, fail, ok, warn
from nexus_sched.model.examination import ShardFacts
from nexus_sched.units import span_text

FILLED_SHARE_MAX = 0.8
WAITING_MS_MAX = 600_000
LETTERS_MAX = 10_000  # the oldest gives way beyond it


class ShardBounds(Struct, frozen=True):
    """What the configuration allows to wait, and what it promises."""

    length_max: int
    bytes_max: int
    durability: str = ""


def check_shard(facts: ShardFacts, bounds: ShardBounds) -> list[Check]:
    """All checks of a shard, in the order in which a reader should mend them."""
    if not facts.exists:
        fix = "start one with `nexus-sched run`"
        return [warn("scheduler", "no scheduler has ever led this shard", fix), *_waiting(facts, bounds)]
    return [
        _leader(facts),
        *_told(facts, bounds),
        _workers(facts),
        *_waiting(facts, bounds),
        _letters(facts),
        *_exporter(facts),
    ]


def _told(facts: ShardFacts, bounds: ShardBounds) -> Iterator[Check]:
    for alarm in facts.alarms:
        yield fail("alarm", alarm, "do what it says; it goes away within seconds once the cause is gone")
    if bounds.durability and facts.durability not in ("", bounds.durability):
        sentence = f"the scheduler promises {facts.durability}, this configuration says {bounds.durability}"
        yield warn("level", sentence, "give all the same `redis.durability`, and start the schedulers again")


def _exporter(facts: ShardFacts) -> Iterator[Check]:
    if facts.export_lag is None:
        return
    sentence = f"an exporter is {facts.export_lag} turns behind, {facts.export_max} are kept for it"
    if 2 * facts.export_lag > facts.export_max:
        fix = "run `nexus-sched journal export` more often, or `--hold 0` if nobody exports any more"
        yield warn("exporter", sentence, fix)
    else:
        yield ok("exporter", sentence)


def _leader(facts: ShardFacts) -> Check:
    if not facts.owner:
        return fail("scheduler", "nobody leads this shard", "start a scheduler with `nexus-sched run`")
    if not facts.renewed:
        fix = "if its process is gone, start another one: it takes over by itself once the lease has run out"
        return fail("scheduler", f"{facts.owner} holds the lease, but does not renew it", fix)
    return ok("scheduler", f"{facts.owner} leads, at turn {facts.seq}")


def _workers(facts: ShardFacts) -> Check:
    if facts.workers_registered == 0:
        return warn("workers", "no worker is registered", "start one with `nexus-sched worker module:app`")
    silent = facts.workers_registered - facts.workers_beating
    sentence = f"{facts.workers_beating} of {facts.workers_registered} workers give signs of life"
    if facts.workers_beating == 0:
        return fail("workers", sentence, "start workers, or see why they cannot reach the server")
    if silent:
        return warn(
            "workers", sentence, "`nexus-sched workers list` says which; their tasks go to others by themselves"
        )
    return ok("workers", sentence)


def _waiting(facts: ShardFacts, bounds: ShardBounds) -> list[Check]:
    checks = []
    stream, longest = max(facts.queued.items(), key=lambda item: item[1], default=("", 0))
    total = sum(facts.queued.values())
    if longest > FILLED_SHARE_MAX * bounds.length_max:
        sentence = f"{longest} tasks wait in {stream}, {bounds.length_max} are allowed"
        checks.append(warn("queue", sentence, "add workers, or raise `queue.length_max`"))
    elif facts.payload_bytes > FILLED_SHARE_MAX * bounds.bytes_max:
        sentence = f"{facts.payload_bytes} payload bytes live, {bounds.bytes_max} are allowed"
        checks.append(warn("queue", sentence, "add workers, or raise `queue.bytes_max`"))
    else:
        checks.append(ok("queue", f"{total} tasks wait, {facts.payload_bytes} payload bytes live"))
    if facts.oldest_waiting_ms is not None:
        sentence = f"the oldest pointer in a queue is {span_text(facts.oldest_waiting_ms)} old"
        if facts.oldest_waiting_ms > WAITING_MS_MAX:
            checks.append(warn("waiting", sentence, "`nexus-sched explain` says why a task waits"))
        else:
            checks.append(ok("waiting", sentence))
    return checks


def _letters(facts: ShardFacts) -> Check:
    if facts.letters_dropped:
        sentence = f"{facts.letters_dropped} dead letters gave way to newer ones and are gone"
        return warn(
            "dead letters", sentence, "see `nexus-sched dead list`; redrive or purge them before they are 10,000"
        )
    if facts.letters:
        return warn(
            "dead letters", f"{facts.letters} tasks are dead", "see `nexus-sched dead list`; redrive or purge them"
        )
    return ok("dead letters", "none")
