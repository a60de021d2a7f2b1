"""What may go wrong, and when: each kind of run draws from its own set of faults.

Faults overlap as they like. `heal` ends all of them; poisonous tasks stay, for their end is the product's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.shell.cast import CLIENT, SCHEDULER, WORKER, Process, Stage
from tests.shell.link import Weather
from tests.shell.server import REFUSALS

JUMP_MS_MAX = 36_000_000  # ten hours
SCHEDULERS_MAX = 5

Fault = Callable[[Stage], None]


def _pick(stage: Stage, *roles: str) -> Process | None:
    found = stage.alive(*roles)
    return stage.world.random.choice(found) if found else None


def crash(stage: Stage) -> None:
    """A process is killed at once, or some steps behind one of its next calls."""
    _crash(stage, _pick(stage, SCHEDULER, SCHEDULER, WORKER, WORKER, CLIENT))


def crash_scheduler(stage: Stage) -> None:
    """A scheduler is killed in this way."""
    _crash(stage, _pick(stage, SCHEDULER))


def _crash(stage: Stage, process: Process | None) -> None:
    random = stage.world.random
    if process is None:
        return
    steps = random.randint(0, 12)
    left = random.randint(1, 8)

    def called(operation: str) -> None:
        nonlocal left
        left -= operation not in ("renew", "journal", "heartbeats", "write_frame")
        if left == 0:
            process.loop.light(steps, lambda: stage.kill(process))

    process.link.on_call = called


def pause(stage: Stage) -> None:
    """A process sleeps, and wakes with old beliefs."""
    process, random = _pick(stage, SCHEDULER, WORKER, CLIENT), stage.world.random
    if process is not None:
        stage.pause(process, random.choice((0.05, 0.3, 1.0, 2.5, 4.0)) * random.uniform(0.5, 1.5))


def replace(stage: Stage) -> None:
    """A process sleeps, and is replaced under its name, as if it were dead; then it wakes beside its successor."""
    process, random = _pick(stage, SCHEDULER, WORKER), stage.world.random
    if process is not None and not process.loop.paused:
        stage.pause(process, random.choice((0.5, 2.0, 5.0)) * random.uniform(0.5, 1.5))
        stage.world.after(random.uniform(0.0, 1.0), lambda: _succeed(stage, process))


def _succeed(stage: Stage, process: Process) -> None:
    if not stage.healing:
        stage.start(process.role, process.name)


def weather(stage: Stage) -> None:
    """A way becomes slow, or loses messages with their connections."""
    process, random = _pick(stage), stage.world.random
    if process is None or process.link.weather.cut:
        return
    bad = Weather(
        delay_s=random.choice((0.0005, 0.005)),
        slow_share=random.choice((0.0, 0.1, 0.5)),
        slow_s=random.choice((0.02, 0.3)),
        loss_share=random.choice((0.0, 0.01, 0.05)),
    )
    process.link.weather = bad
    stage.told(process.title, f"has bad weather: {bad}")
    stage.world.after(random.uniform(0.5, 3.0), lambda: _clear(process))


def _clear(process: Process) -> None:
    if not process.link.weather.cut:
        process.link.weather = Weather()


def cut(stage: Stage) -> None:
    """A process is cut off from the store."""
    process, random = _pick(stage), stage.world.random
    if process is None or process.link.weather.cut:
        return
    stage.history.disturb(process.title, "cut off")
    stage.told(process.title, "is cut off")
    process.link.cut()
    stage.world.after(random.choice((0.2, 1.0, 3.0)) * random.uniform(0.5, 1.5), lambda: reach(stage, process))


def reach(stage: Stage, process: Process) -> None:
    """It reaches the store again."""
    if process.link.weather.cut and process.alive:
        stage.told(process.title, "reaches the store again")
        process.link.heal()


def break_connections(stage: Stage) -> None:
    """All connections break at once, with whatever is under way."""
    stage.told("nature", "breaks all connections")
    for process in stage.alive():
        process.link.break_off(late=True)


def refuse(stage: Stage) -> None:
    """The store refuses for a while, out of one reason or another."""
    random, server = stage.world.random, stage.server
    if server.refusal:
        return
    server.refusal = random.choice(REFUSALS)
    stage.told("store", f"refuses: {server.refusal}")
    stage.world.after(random.choice((0.1, 0.8, 3.0)), lambda: accept(stage))


def accept(stage: Stage) -> None:
    """The store works again."""
    if stage.server.refusal:
        stage.server.refusal = ""
        stage.told("store", "works again")


def lose_replicas(stage: Stage) -> None:
    """The store has no replica for a while, and so acknowledges nothing that needs one."""
    stage.server.unreplicated = True
    stage.told("store", "has no replica")
    stage.world.after(stage.world.random.choice((0.1, 0.8, 3.0)), lambda: find_replicas(stage))


def find_replicas(stage: Stage) -> None:
    """It has one again."""
    if stage.server.unreplicated:
        stage.server.unreplicated = False
        stage.told("store", "has replicas again")


def roll_back(stage: Stage) -> None:
    """What a replica has that lost touch a moment ago becomes the store."""
    if not stage.server.is_led:
        return
    kept, age = stage.server.keep(), stage.server.age

    def go_back() -> None:
        if stage.server.age != age or stage.closing:
            return  # what was kept belongs to another history by now, or nobody is left to mend what that breaks
        for number, (shard, was) in enumerate(zip(stage.server.shards, kept.shards, strict=True)):
            stage.history.went_back(number, shard.tasks, was["tasks"], was["seq"])
            stage.told("store", f"goes back from turn {shard.seq} of shard {number} to turn {was['seq']}")
        stage.server.go_back(kept)
        for process in stage.processes:
            process.link.lose_server(stage.world.random.uniform(0.0, 0.2))

    stage.world.after(stage.world.random.choice((0.01, 0.1, 0.5, 1.5, 4.0)), go_back)


def jump(stage: Stage) -> None:
    """Somebody's wall clock jumps."""
    random = stage.world.random
    process = _pick(stage)
    jump_ms = random.randint(-JUMP_MS_MAX, JUMP_MS_MAX)
    if process is None or random.random() < 0.3:
        stage.server.wall_jump_ms += jump_ms
        stage.told("store", f"has its clock jump by {jump_ms} ms")
    else:
        process.loop.wall_jump_ns += jump_ms * 10**6
        stage.told(process.title, f"has its clock jump by {jump_ms} ms")


def restart(stage: Stage) -> None:
    """A process is asked to end, and comes back."""
    process = _pick(stage, SCHEDULER, WORKER)
    if process is not None and not process.leaving:
        stage.ask_to_leave(process)


def flush(stage: Stage) -> None:
    """`FLUSHALL`: the one fault that nobody survives. All that is asked is that it is said."""
    stage.state_lost = True
    stage.laws.flushed = True
    stage.told("store", "loses everything")
    for number, shard in enumerate(stage.server.shards):
        stage.history.went_back(number, shard.tasks, {}, 0)
    stage.server.flush()
    for process in stage.processes:
        process.link.break_off(late=False)


def join(stage: Stage) -> None:
    """One more scheduler."""
    if len(stage.alive(SCHEDULER)) < SCHEDULERS_MAX:
        stage.start(SCHEDULER, f"s{len(stage.processes)}")


def retire(stage: Stage) -> None:
    """A scheduler is asked to end, and does not come back, unless it is the last one."""
    staying = [each for each in stage.alive(SCHEDULER) if not each.leaving]
    if len(staying) > 1:
        process = stage.world.random.choice(staying)
        process.retired = True
        stage.ask_to_leave(process)


def silence_registry(stage: Stage) -> None:
    """The registry does not answer for a while."""
    stage.server.registry_refuses = True
    stage.told("registry", "does not answer")
    stage.world.after(stage.world.random.choice((0.5, 2.5, 5.0)), lambda: hear_registry(stage))


def hear_registry(stage: Stage) -> None:
    """It answers again."""
    if stage.server.registry_refuses:
        stage.server.registry_refuses = False
        stage.told("registry", "answers again")


def empty_registry(stage: Stage) -> None:
    """The registry forgets who is there."""
    stage.told("registry", "forgets everybody")
    stage.server.said.clear()


def forget_places(stage: Stage) -> None:
    """Nobody knows any more where workers have their place."""
    stage.told("pool", "forgets where workers are")
    stage.server.pool.workers.clear()


def misplace(stage: Stage) -> None:
    """Workers are said to have their places anywhere."""
    workers, random = stage.server.pool.workers, stage.world.random
    for worker, at in workers.items():
        workers[worker] = at._replace(shard=random.randrange(stage.plan.shards))
    stage.told("pool", f"says that workers are elsewhere: {workers}")


KINDS: Mapping[str, tuple[Fault, ...]] = {
    "calm": (),
    "network": (weather, weather, cut, break_connections),
    "crash": (crash,),
    "pause": (pause, pause, replace),
    "refuse": (refuse, break_connections),
    "rollback": (roll_back,),
    "clock": (jump, restart),
    "poison": (restart,),
    "restart": (restart, restart, crash),
    "mix": (crash, crash, pause, replace, weather, cut, break_connections, refuse, jump, restart),
    "storm": (crash, pause, replace, weather, cut, break_connections, refuse, roll_back, jump, restart),
    "flush": (weather, flush),
    "shards": (join, retire, restart, silence_registry, empty_registry, forget_places, misplace),
    "shards-crash": (crash, crash_scheduler, crash_scheduler, pause, replace, join),
    "shards-network": (weather, weather, cut, break_connections, refuse, silence_registry),
    "shards-storm": (
        *(crash, crash_scheduler, pause, replace, weather, cut, break_connections, refuse, roll_back, jump, restart),
        *(join, retire, silence_registry, empty_registry, forget_places, misplace),
    ),
    "shards-flush": (weather, flush),
    "replicated": (lose_replicas, lose_replicas, lose_replicas, crash, break_connections, roll_back),
}
POISONOUS = ("poison", "mix", "storm", "shards-storm")
SHARED = tuple(kind for kind in KINDS if kind.startswith("shards"))  # pools of several shards
FLUSHED = ("flush", "shards-flush")


def let_go_wrong(stage: Stage, kind: str) -> None:
    """Arrange the faults of a run."""
    random, faults = stage.world.random, KINDS[kind]
    if not faults:
        return
    for _ in range(random.randint(1, 6)):
        fault = random.choice(faults)
        stage.world.after(random.uniform(0.1, stage.plan.troubled_s), lambda fault=fault: strike(stage, fault))


def strike(stage: Stage, fault: Fault) -> None:
    """One fault."""
    stage.history.faults[fault.__name__] += 1
    fault(stage)


def heal(stage: Stage) -> None:
    """Nothing goes wrong any more; who was killed comes back by itself."""
    stage.healing = True
    stage.told("nature", "heals everything")
    accept(stage)
    hear_registry(stage)
    find_replicas(stage)
    for process in stage.alive():
        process.link.on_call = lambda _: None
        process.loop.light(-2, lambda: None)
        process.link.heal()
        stage.wake(process)
