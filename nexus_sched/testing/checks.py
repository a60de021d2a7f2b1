"""Checkers of the core: each returns what is wrong, one line a finding, so that a failing test shows all of it.

They read the state from outside and share no arithmetic with the code that they check.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping

from nexus_sched.adapters.memory.shard import QUEUED, RUNNING, MemoryShard
from nexus_sched.adapters.memory.stream import parse_entry_id
from nexus_sched.core.engine import Engine
from nexus_sched.core.records import TaskRecord, WorkerRecord
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.effects import Dispatch
from nexus_sched.model.events import OverrideAdded, OverrideRemoved
from nexus_sched.model.journal import Turn
from nexus_sched.model.settings import PREDICTIVE
from nexus_sched.runtime.ports import PRIORITY_STREAMS, RECLAIMED_STREAM
from nexus_sched.testing.oracle_needs import feasible
from nexus_sched.units import NS_PER_MS

ENTRIES_MAX = 1_000_000


def bookings_differ(engine: Engine) -> list[str]:
    """What does not agree between records, ring, table and queue; empty if all is well."""
    found: list[str] = []
    table, roster = engine.roster.table, engine.roster
    open_rows = 0
    for worker in roster.ring:
        holds = (len(worker.placed), table.in_flight(worker.row))
        if holds != (worker.in_flight, worker.in_flight):
            found.append(f"{worker.name}: in flight {worker.in_flight}, placed and booked {holds}")
        if (table.credit(worker.row), table.slots(worker.row)) != (worker.credit, worker.slots):
            found.append(f"{worker.name}: credit {worker.credit} and slots {worker.slots} differ from the table")
        booked_ms = sum(record.booked.booked_ms for record in worker.placed.values())
        if abs(table.booked_ms(worker.row) - booked_ms) > 1e-6 * max(1.0, booked_ms):
            found.append(f"{worker.name}: {booked_ms} ms placed, {table.booked_ms(worker.row)} ms booked")
        for task_id, record in worker.placed.items():
            if engine.record_of(task_id, record.attempt) is not record or record.place != "i:" + worker.name:
                found.append(f"{worker.name}: holds {task_id}, which is at {record.place}")
        open_rows += worker.accepting and worker.in_flight < worker.credit
    if open_rows != table.open_count:
        found.append(f"{open_rows} workers are open, the table says {table.open_count}")
    waiting = [record for record in engine.tasks.values() if record.waiting]
    if len(waiting) != len(engine.backlog):
        found.append(f"{len(waiting)} tasks wait, the backlog holds {len(engine.backlog)}")
    predicted_ms = sum(record.mean_ms for record in waiting if record.mean_ms > 0.0)
    if abs(engine.backlog.predicted_ms - predicted_ms) > 1e-6 * max(1.0, predicted_ms):
        found.append(f"{predicted_ms} ms wait, the backlog says {engine.backlog.predicted_ms}")
    return found


def standings_differ(engine: Engine) -> list[str]:
    """What does not agree between workers, breakers and what operators decided; empty if all is well."""
    found: list[str] = []
    ejection, ring = engine.ejection, engine.roster.ring
    ejected = 0
    for worker in ring:
        breaker = ejection.breakers.get(worker.name)
        if worker.breaker is not breaker:
            found.append(f"{worker.name}: its breaker is {worker.breaker}, the fleet's is {breaker}")
        state = "closed" if breaker is None else breaker.state
        manual = breaker is not None and breaker.manual
        if worker.broken and state != "open":
            found.append(f"{worker.name}: left alone, and its breaker is {state}")
        if worker.trial and state != "half-open":
            found.append(f"{worker.name}: on trial, and its breaker is {state}")
        if worker.cordoned != (worker.name in engine.cordons):
            found.append(f"{worker.name}: cordoned is {worker.cordoned}, and the operators decided otherwise")
        if worker.accepting and (worker.draining or worker.suspect or worker.cordoned or worker.broken):
            found.append(f"{worker.name}: accepts tasks, and may not")
        ejected += worker.broken and not manual
    bound = max(1, int(engine.settings.worker_breaker.ejected_share_max * len(ring))) if len(ring) > 1 else 0
    if ejected > bound:
        found.append(f"{ejected} of {len(ring)} workers are left alone, at most {bound} may be")
    return found


def conserves_work(engine: Engine) -> list[str]:
    """No worker is open while a task waits that it may run and no limit keeps, unless the turn's budget was spent.

    Limits must bound the number of tasks only.
    """
    if engine.ready or engine.paused:
        return []
    held = Counter(name for record in engine.tasks.values() if not record.waiting for name in _limited(engine, record))
    limits = engine.settings.limits
    open_ones = [each for each in engine.roster.ring if each.accepting and each.in_flight < each.credit]
    if engine.placement.mode == PREDICTIVE:
        open_ones = [each for each in open_ones if within_reach(engine, each)]
    return [
        f"{record.task.id} waits and {worker.name} is open"
        for record in engine.tasks.values()
        if record.waiting and not record.past.held and record.past.not_before_ms <= engine.now_ms
        if all(held[rule, name] < limits[rule].concurrency for rule, name in _limited(engine, record))
        for worker in open_ones
        if feasible(worker, record.task.terms.needs)
    ]


def within_reach(engine: Engine, worker: WorkerRecord) -> bool:
    """Whether a worker has a free slot, or is expected to have one within so many round trips as are configured."""
    reach_ms = engine.settings.prefetch_reach * engine.settings.round_trip_ms
    return worker.in_flight < worker.slots or engine.roster.table.wait_ms(worker.row) <= reach_ms


def resources_differ(engine: Engine) -> list[str]:
    """What is booked of each resource is what the tasks that a worker holds ask for."""
    found: list[str] = []
    for worker in engine.roster.ring:
        held: dict[str, list[float]] = {}
        for record in worker.placed.values():
            needs = record.task.terms.needs
            for name, amount in needs.resources:
                held.setdefault(name, []).append(amount)
        for name, amounts in held.items():
            if abs(math.fsum(amounts) - worker.used.get(name, 0.0)) > 1e-6:
                found.append(f"{worker.name}: tasks ask for {math.fsum(amounts)} {name}, {worker.used} is booked")
        if worker.used.keys() - held.keys():
            found.append(f"{worker.name}: {worker.used} is booked, nobody asks for all of that")
    return found


def overrides_broken(turns: Iterable[Turn]) -> list[str]:
    """Decisions against overrides that were in force, by the events of the turns alone."""
    found: list[str] = []
    in_force: dict[tuple[str, ...], OverrideAdded] = {}
    for turn in turns:
        for event in turn.events:
            if isinstance(event, OverrideAdded):
                which = (event.scope, event.subject, event.effect)
                in_force[(*which, event.target) if event.effect == "avoid" else which] = event
            elif isinstance(event, OverrideRemoved):
                which = (event.scope, event.subject, event.effect)
                in_force.pop((*which, event.target) if event.effect == "avoid" else which, None)
        live = [each for each in in_force.values() if each.until_ms > turn.at_ns // NS_PER_MS]
        for effect in turn.effects:
            if isinstance(effect, Dispatch):
                found += _broken(effect.decision, live)
    return found


def _broken(decision: SchedulingDecision, live: list[OverrideAdded]) -> list[str]:
    mine = [each for each in live if (each.scope, each.subject) == ("task", decision.task_id)]
    mine += [each for each in live if (each.scope, each.subject) == ("type", decision.task_type)]
    pin = next((each.target for each in mine if each.effect == "pin"), decision.worker)
    avoided = [each.target for each in mine if each.effect == "avoid"]
    wrong = pin != decision.worker or decision.worker in avoided
    if len(decision.overrides) != len(mine):
        return [f"{decision.task_id} was bound by {len(mine)} overrides, its decision names {decision.overrides}"]
    return [f"{decision.task_id} went to {decision.worker}, pinned to {pin}, kept from {avoided}"] if wrong else []


def limits_exceeded(engine: Engine) -> list[str]:
    """What is handed out beyond the limits on how many tasks of a name there may be at once."""
    held = Counter(name for record in engine.tasks.values() if not record.waiting for name in _limited(engine, record))
    limits = engine.settings.limits
    return [
        f"{count} tasks of {name} are handed out, at most {limits[rule].concurrency} may be"
        for (rule, name), count in held.items()
        if count > limits[rule].concurrency
    ]


def _limited(engine: Engine, record: TaskRecord) -> list[tuple[int, str]]:
    """The rules that count a task, with the name that they count."""
    names = {"type": record.task.type, "tenant": record.task.terms.tenant, "key": record.task.terms.key}
    return [
        (rule, names[limit.scope])
        for rule, limit in enumerate(engine.settings.limits)
        if limit.concurrency and limit.name in ("*", names[limit.scope]) and (limit.scope != "key" or names["key"])
    ]


def pointers(shard: MemoryShard) -> Counter[str]:
    """How many pointers each task has, over all queues and inboxes."""
    found: Counter[str] = Counter()
    for stream, entries in shard.streams.items():
        if stream.startswith(("q:", "i:")):
            for _, fields in entries.after((0, 0), ENTRIES_MAX):
                if fields[0] == b"i":
                    found[fields[1].decode()] += 1
    return found


def places_differ(shard: MemoryShard, copied: Container[str] = ()) -> list[str]:
    """Law 5: a live task is in exactly one place; one of `copied`, whose runs may be doubled, in one or two."""
    count = pointers(shard)
    return [
        f"{task_id} is {task.state} and has {count[task_id]} pointers"
        for task_id, task in shard.tasks.items()
        if task.state in (QUEUED, RUNNING) and count[task_id] not in ((1, 2) if task_id in copied else (1,))
    ]


def views_differ(engine: Engine, shard: MemoryShard, cursors: Mapping[str, str]) -> list[str]:
    """Where the engine believes a task to be, it is, unless a fact that moved it is still unread.

    Only true while no commit is under way.
    """
    unread = _unread(shard, cursors)
    found = []
    for task_id, record in engine.tasks.items():
        there = any(
            each == parse_entry_id(record.entry) and fields[:2] == [b"i", task_id.encode()]
            for each, fields in shard.streams[record.place].after((0, 0), ENTRIES_MAX)
        )
        if not there and task_id not in unread:
            found.append(f"{task_id} is not at {record.place} {record.entry}, and nothing unread tells why")
    for task_id, task in shard.tasks.items():
        if task.state in (QUEUED, RUNNING) and task_id not in engine.tasks and task_id not in unread:
            found.append(f"{task_id} is {task.state}, and the engine does not know it")
    return found


def _unread(shard: MemoryShard, cursors: Mapping[str, str]) -> set[str]:
    tasks = set()
    for stream in (RECLAIMED_STREAM, "res", *PRIORITY_STREAMS):
        for _, fields in shard.streams[stream].after(parse_entry_id(cursors[stream]), ENTRIES_MAX):
            tasks.add(fields[1].decode())
    return tasks
