"""The scenarios by name: which fault, on which stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from nexus_sched.model.durability import REPLICATED, STRICT
from tests.chaos.faults import load, network, replicas, schedulers, servers, topologies, versions, workers
from tests.chaos.faults.failpoints import Points
from tests.chaos.options import Skipped
from tests.chaos.stage import Needs, Stage
from tests.chaos.topologies import CLUSTER, SENTINEL

Fault = Callable[[Stage], Awaitable[float | None]]
FLOOD_LENGTH_MAX = 200
PROXIES, DISK = Needs(proxies=True), Needs(disk=True)
MIXED: tuple[Fault, ...] = (
    *(schedulers.kill_and_restart, schedulers.stop, workers.kill_one, workers.stop_one),
    *(servers.kill, servers.power_cut, servers.flush_functions),
    *(network.drop_replies, network.delay, network.part, network.damage_frames),
)


class Scenario(Struct, frozen=True):
    """`once`: the fault ends everything, so each one gets a stage of its own."""

    fault: Fault
    needs: Needs = Needs()
    once: bool = False
    durability: str = STRICT  # unless another level is asked for


async def mix(stage: Stage) -> float | None:
    """Any of the faults that can follow one another, as the seed says."""
    return await stage.random.choice(MIXED)(stage)


def catalogue() -> dict[str, Scenario]:
    """All scenarios that can be run."""
    return {
        "leader-kill": Scenario(schedulers.kill_and_restart),
        "leader-kill-standby": Scenario(schedulers.kill),
        "leader-stop": Scenario(schedulers.stop),
        "leader-failpoints": Scenario(Points(), PROXIES),
        "worker-kill": Scenario(workers.kill_one),
        "worker-stop": Scenario(workers.stop_one),
        "workers-half": Scenario(workers.kill_half),
        "redis-kill": Scenario(servers.kill),
        "redis-power-cut": Scenario(servers.power_cut, DISK),
        "torn-aof": Scenario(servers.tear),
        "replies-dropped": Scenario(network.drop_replies, PROXIES),
        "delays": Scenario(network.delay, PROXIES),
        "partition": Scenario(network.part, PROXIES),
        "corrupt-bytes": Scenario(network.damage_frames, PROXIES),
        "swizzle": Scenario(network.swizzle, PROXIES),
        "failover": Scenario(servers.fail_over, Needs(replica=True)),
        "failover-stale": Scenario(servers.fail_over_stale, Needs(replica=True)),
        "sentinel-failover": Scenario(topologies.kill_primary, Needs(topology=SENTINEL), durability=REPLICATED),
        "cluster-failover": Scenario(topologies.kill_primary, Needs(topology=CLUSTER), durability=REPLICATED),
        "readonly": Scenario(topologies.read_only),
        "evicting-policy": Scenario(topologies.evict),
        "functions-flushed": Scenario(servers.flush_functions),
        "flushall": Scenario(servers.flush_all, once=True),
        "maxmemory": Scenario(servers.fill_memory),
        "poison-task": Scenario(workers.poison),
        "flood": Scenario(load.flood, Needs(length_max=FLOOD_LENGTH_MAX)),
        "hostile-messages": Scenario(load.send_garbage),
        "rolling-restart": Scenario(schedulers.restart_all),
        "replicas": Scenario(replicas.come_and_go, Needs(shards=3, schedulers=3)),
        "version-skew": Scenario(versions.change_one, Needs(versions=True)),
        "mix": Scenario(mix, Needs(proxies=True, disk=True)),
        "clock-jumps": Scenario(load.jump, Needs(environment=load.clock_environment())),
        "disk-full": Scenario(servers.fill_disk, DISK),
    }


LOSING = ("failover-stale",)  # no durability level survives it: not among all


def durability_of(name: str) -> str:
    """The level at which a scenario is run if none is asked for."""
    return catalogue()[name].durability if name in catalogue() else STRICT


def find(name: str) -> Scenario:
    """The scenario of a name. Raises `Skipped` with the reason if it cannot be run here, `KeyError` if unknown."""
    if name == "clock-jumps" and load.clock_library() is None:
        raise Skipped("libfaketime is not installed")
    return catalogue()[name]
