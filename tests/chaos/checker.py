"""The judge: what was acknowledged, what was run and what the store says, held against each other.

It believes the files of producer and workers, and reads records and results from the store key by key. The copied
journal is handled anew by `replay.verify`, from the first turn, and must give the same effects to the bit; the digest
in the newest snapshot must be the digest of that replay at its turn.
"""

from __future__ import annotations

import asyncio
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.core.engine import Engine
from nexus_sched.demo.processes import inherited_environment
from nexus_sched.errors import NexusError
from nexus_sched.model.outcome import Reason
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.replay.verify import Verdict as Replay
from nexus_sched.replay.verify import verify
from nexus_sched.runtime.recovery import Checkpoint
from nexus_sched.sharding.hashing import shard_of
from tests.chaos.inspection import fsck
from tests.chaos.observer import Observer
from tests.chaos.places import findings as misplaced
from tests.chaos.places import is_at_rest
from tests.chaos.processes import ROOT
from tests.chaos.producer import ONCE
from tests.chaos.stage import Stage
from tests.chaos.stretches import FILE, Judged, Past
from tests.chaos.verdict import Verdict, recovery

FINDINGS_MAX = 5  # of each kind
BATCH = 200
POLL_S = 0.1
SUCCEEDED, NOT_REPEATABLE = b"succeeded", Reason.NOT_REPEATABLE.value.encode()
ENDED = (b"F", b"D", b"C")


class Ends(msgspec.Struct):
    """What became of the acknowledged tasks, and what is wrong with them, in words."""

    open: list[str] = []
    lost: list[str] = []
    dead: list[str] = []
    not_repeated: list[str] = []


async def drain(stage: Stage, timeout_s: float) -> float:
    """Wait until everything has ended; gives how long it took, also if it has not."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < timeout_s:
        await asyncio.sleep(POLL_S)
        at_rest = [await is_at_rest(stage.server, keys) for keys in stage.all_keys]
        if all(at_rest) and not (await ends(stage)).open:
            break
    return time.monotonic() - began_s


async def ends(stage: Stage) -> Ends:
    """Look every acknowledged task up."""
    found = Ends()
    begun = {line[1] for line in stage.executions() if line[0] == "begin"}
    over = {" ".join(line[1:]) for line in stage.executions() if line[0] == "end"}
    ids = stage.acknowledged()
    for at in range(0, len(ids), BATCH):
        batch = ids[at : at + BATCH]
        keys = [stage.all_keys[shard_of(task_id, len(stage.all_keys))] for task_id in batch]
        homes = list(zip(batch, keys, strict=True))
        records = await asyncio.gather(*(stage.server.call("HMGET", of.task(i), "s", "o") for i, of in homes))
        results = await asyncio.gather(*(stage.server.call("GET", of.result(i)) for i, of in homes))
        for task_id, (state, outcome), result in zip(batch, records, results, strict=True):
            _look_at(found, task_id, state, outcome, result, task_id in begun, over)
    return found


def _look_at(
    found: Ends,
    task_id: str,
    state: bytes | None,
    outcome: bytes | None,
    result: bytes | None,
    ran: bool,
    over: set[str],
) -> None:
    if state is None:
        found.lost.append(f"{task_id} was acknowledged, and the store does not know it")
    elif state not in ENDED:
        found.open.append(f"{task_id} is still {state.decode()}")
    elif state == b"D" and task_id.startswith(ONCE) and outcome == NOT_REPEATABLE:
        found.not_repeated.append(task_id)
    elif state == b"D":
        found.dead.append(f"{task_id} is a dead letter: {(outcome or b'').decode()}")
    elif outcome != SUCCEEDED:
        found.lost.append(f"{task_id} ended as {(outcome or b'').decode()}")
    elif not ran:
        found.lost.append(f"{task_id} ended with success, and nobody ran it")
    elif result is None or msgspec.msgpack.decode(result) not in over:
        found.lost.append(f"the result of {task_id} is of no execution that ended")


def runs_again(stage: Stage) -> tuple[int, list[str]]:
    """How many executions were not the first of their task, and those that no killed or paused worker excuses."""
    begun: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for what, task_id, attempt, _, pid in stage.executions():
        if what == "begin":
            begun[task_id].append((attempt, int(pid)))
    again = sum(len(runs) - 1 for runs in begun.values())
    elsewhere = [
        f"{task_id} ran {len(runs)} times: {runs}"
        for task_id, runs in begun.items()
        if sum(pid not in stage.victims for _, pid in runs) > 1
    ]
    return again, elsewhere


def started_twice(stage: Stage) -> list[str]:
    """Tasks that may be started once, and were started more often: no death of anything excuses that."""
    begun = Counter(line[1] for line in stage.executions() if line[0] == "begin" and line[1].startswith(ONCE))
    return [
        f"{task_id} may be started once, and was started {times} times" for task_id, times in begun.items() if times > 1
    ]


def twice(stage: Stage) -> list[str]:
    """Results that were accepted more than once, by the journal or by the announcements."""
    counted: Counter[str] = Counter(stage.observer.announced)
    for observer in stage.observers:
        counted |= observer.finished
    return [f"the result of {task_id} was accepted {times} times" for task_id, times in counted.items() if times > 1]


async def replay(stage: Stage) -> list[str]:
    """Handle all turns of all shards anew; gives what differs, in words."""
    if stage.next_tree is not None:
        return await _replay_by_version(stage, stage.next_tree)
    return [
        wrong
        for observer, keys in zip(stage.observers, stage.all_keys, strict=True)
        for wrong in await _replay(stage, observer, keys)
    ]


async def _replay_by_version(stage: Stage, next_tree: Path) -> list[str]:
    """Each version takes its own turns again, in its own tree; each must have led some."""
    turns = stage.observer.blobs
    past = Past([turns[seq] for seq in sorted(turns)], stage.observer.snapshots)
    (stage.directory / FILE).write_bytes(msgspec.msgpack.encode(past))
    wrong: list[str] = []
    for tree in (ROOT, next_tree):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.stretches", str(stage.directory)),
            stdout=asyncio.subprocess.PIPE,
            cwd=stage.directory,
            env={**inherited_environment(), "PYTHONPATH": str(tree)},
        )
        said, _ = await process.communicate()
        judged = msgspec.json.decode(said, type=Judged) if process.returncode == 0 else Judged("")
        wrong += judged.wrong
        if not judged.turns:
            wrong.append(f"no turn was led, or none could be judged, by the version in {tree.name}")
    return wrong


async def _replay(stage: Stage, observer: Observer, keys: ShardKeys) -> list[str]:
    predictors = Catalogue()
    engine, replayed = Engine(predictors), Replay(first_seq=1)
    turns = [observer.turns[seq] for seq in sorted(observer.turns)]
    kept = int(await stage.server.call("HGET", keys.meta, "snap") or 0)
    wrong: list[str] = []
    try:
        await asyncio.to_thread(verify, engine, turns[:kept], replayed)
        if kept:
            blob = await stage.server.call("GET", keys.snapshot(b"%d" % kept))
            if msgspec.msgpack.decode(zlib.decompress(blob), type=Checkpoint).digest != engine.digest():
                wrong.append(f"the snapshot of turn {kept} has another digest than the replay")
        await asyncio.to_thread(verify, engine, turns[kept:], replayed)
    except NexusError as error:
        return [*wrong, str(error)]
    wrong += [f"turn {difference.seq} comes out differently" for difference in replayed.differences]
    wrong += [f"the digest of turn {seq} differs" for seq in replayed.wrong_digests]
    return wrong


async def judge(stage: Stage, faults: int, spans_s: Sequence[float], drained_s: float) -> Verdict:
    """The verdict on a stage that was healed and drained, and whose schedulers have ended."""
    options, observers = stage.options, stage.observers
    found = await ends(stage)
    places = await fsck(stage)
    for keys in stage.all_keys:
        places += await misplaced(stage.server, keys)
    again, elsewhere = runs_again(stage)
    doubled, differing = twice(stage), await replay(stage)
    restarted = started_twice(stage)
    told_twice = {task_id for task_id, times in Counter(stage.acknowledgements()).items() if times > 1}
    split = [finding for finding in elsewhere if finding.partition(" ")[0] in told_twice]
    gaps = sum(each.missing() + (each.rolled_back if options.durability == "strict" else 0) for each in observers)
    words = [
        finding
        for kind in (found.lost, found.open, doubled, restarted, places, differing, elsewhere, found.dead)
        for finding in kind[:FINDINGS_MAX]
    ]
    return Verdict(
        scenario=options.scenario,
        server=await stage.server.version(),
        durability=options.durability,
        faults=faults,
        acknowledged=len(stage.acknowledged()),
        lost=len(found.lost),
        accepted_twice=len(doubled),
        re_executed=again,
        re_executed_elsewhere=len(elsewhere),
        dead_letters=len(found.dead),
        not_repeated=len(found.not_repeated),
        started_twice=len(restarted),
        submitted_twice=len(told_twice),
        run_as_two=len(split),
        stuck=len(found.open),
        fsck=len(places),
        journal_gaps=gaps,
        digest_equal=not differing,
        turns=sum(observer.seq for observer in observers),
        recovery_s=recovery(spans_s),
        drained_s=round(drained_s, 2),
        unsynced_bytes=stage.unsynced_bytes,
        findings=words,
    )
