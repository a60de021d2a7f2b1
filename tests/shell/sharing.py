"""What must be true of a pool in the end: every shard is led, evenly, and stood by for; every worker sits in one."""

from __future__ import annotations

from tests.shell.cast import SCHEDULER, WORKER, Stage


def unshared(stage: Stage) -> list[str]:
    """What is not shared out as it should be, in words; empty in a story of one shard that knows of no other."""
    if stage.plan.sharing is None:
        return []
    return [*_led(stage), *_placed(stage)]


def _led(stage: Stage) -> list[str]:
    replicas = {each.title: each.replica for each in stage.alive(SCHEDULER) if each.replica is not None}
    leads = {title: [shard.number for shard in replica.leads] for title, replica in replicas.items()}
    standing = {shard.number for replica in replicas.values() for shard in replica.stands_by}
    numbers = list(range(stage.plan.shards))
    found = []
    if sorted(number for led in leads.values() for number in led) != numbers:
        found.append(f"not every shard has one leader: {leads}")
    if leads and max(map(len, leads.values())) - min(map(len, leads.values())) > 1:
        found.append(f"shards are led unevenly: {leads}")
    if len(replicas) > 1 and standing != set(numbers):
        found.append(f"somebody stands by for {sorted(standing)} only")
    return found


def _placed(stage: Stage) -> list[str]:
    found = []
    for worker in {each.name: each for each in stage.alive(WORKER)}:
        sits = [number for number, shard in enumerate(stage.server.shards) if worker in shard.beats]
        if len(sits) != 1:
            found.append(f"{worker} is at work in shards {sits}")
        at = stage.server.pool.workers.get(worker)
        if stage.plan.shards > 1 and (at is None or [at.shard] != sits):
            found.append(f"{worker} has its place at {at}, and is at work in {sits}")
    return found
