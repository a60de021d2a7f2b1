"""Everything that runs: a server, two schedulers, workers, a producer, an observer, and proxies if asked for.

`Stage` is a context manager; what it started is gone when its block is left, however it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.errors import StoreError
from nexus_sched.model.events import EpochBegan
from tests.chaos.application import DIARY_VARIABLE, WORKER_VARIABLE
from tests.chaos.observer import Observer
from tests.chaos.options import FSYNC, LEASE_S, Options, Stuck
from tests.chaos.processes import ROOT, Process, Processes
from tests.chaos.producer import Order
from tests.chaos.proxy import Proxy
from tests.chaos.server import Server, free_port
from tests.chaos.topologies import CLUSTER, Clustered, Topology, Watched
from tests.chaos.versions import NEXT_VERSION, make_next

POOL = "chaos"
REPLY = "chaos"
SCHEDULERS = 2
START_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 40.0
POLL_S = 0.02
RESULT_TTL = "10d"  # a wall clock that jumps must not end the records that are checked
LENGTH_MAX = 100_000


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario wants of the stage."""

    proxies: bool = False
    disk: bool = False  # the library between server and disk
    replica: bool = False
    shards: int = 1
    schedulers: int = SCHEDULERS
    topology: str = ""  # servers that belong together, see `topologies`
    length_max: int = LENGTH_MAX  # queued tasks of one priority
    versions: bool = False  # every other process is of the next version, see `versions`
    environment: Mapping[str, str] = {}  # of the server and all processes; {directory} is filled in


class Stage:
    """The running parts."""

    def __init__(self, options: Options, needs: Needs) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.directory = Path(tempfile.mkdtemp(prefix="nexus-chaos-"))
        self.diary = self.directory / "diary"
        self.diary.mkdir()
        self.processes = Processes(self.directory)
        self.all_keys = [ShardKeys(POOL, number) for number in range(needs.shards)]
        self.keys = self.all_keys[0]
        self.victims: set[int] = (
            set()
        )  # ids of worker processes that were killed or paused: what they ran may run again
        self.proxies: dict[str, Proxy] = {}
        self.schedulers: list[Process] = []
        self.workers: list[Process] = []
        self.next_tree: Path | None = None  # of the next version, if there are two
        self.replica: Server | None = None
        self.topology: Topology | None = None
        self.unsynced_bytes = 0  # that power cuts have taken
        self._needs = needs
        self._environment = {name: text.format(directory=self.directory) for name, text in needs.environment.items()}

    async def __aenter__(self) -> Stage:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    # -- beginning and end

    async def _start(self) -> None:
        if self._needs.versions:
            self.next_tree = make_next(self.directory / "next")
        await self._start_servers()
        self.observers = [
            Observer(self.server.path, POOL, REPLY, number, self._needs.versions)
            for number in range(self._needs.shards)
        ]
        self.observer = self.observers[0]
        for observer in self.observers:
            observer.start()
        for number in range(self._needs.schedulers):
            settings = "--set", f"scheduler.lease={LEASE_S:g}s", "--set", f"queue.length_max={self._needs.length_max}"
            level = "--set", f"redis.durability={self.options.durability}"
            split = ("--set", f"pools.{POOL}.shards={self._needs.shards}") if self._needs.shards > 1 else ()
            await self._program(f"scheduler-{number}", "run", *settings, *level, *split)
        for number in range(self.options.workers):
            name = f"w-{number}"
            where = "tests.chaos.application:app", "--id", name, "--slots", str(self.options.slots)
            await self._program(name, "worker", *where)
        await self.until_ready()
        version = {} if self.next_tree is None else {"PYTHONPATH": str(self.next_tree)}  # clients are upgraded first
        self.producer = self.processes.add(
            "producer", [sys.executable, "-m", "tests.chaos.producer", *await self._order()], version
        )
        self.producer.start()
        for number in range(self._needs.shards):
            await self.dispatching_again(0, 0, shard=number)

    async def _start_servers(self) -> None:
        if self._needs.topology:
            await self._start_topology()
            return
        environment = dict(self._environment)
        place = self.directory / "server-0"
        options = {"appendfsync": FSYNC[self.options.durability]}
        port = free_port() if self._needs.replica else 0
        self.server = Server(self.processes, self.options.server, place, options, environment, port)
        if self._needs.disk:
            environment |= self.server.disk.environment()
            self.server = Server(self.processes, self.options.server, place, options, environment, port)
        await self.server.start()
        if self._needs.replica:
            place = self.directory / "server-1"
            self.replica = Server(self.processes, self.options.server, place, options, environment, free_port())
            await self.replica.start()
            await self.replica.follow(self.server)

    async def _start_topology(self) -> None:
        options = {"appendfsync": FSYNC[self.options.durability]}
        common = self.processes, self.options.server, self.directory, options
        self.topology = Clustered(*common, self.keys.meta) if self._needs.topology == CLUSTER else Watched(*common)
        self.server, self.replica = await self.topology.start()

    async def _url(self, name: str) -> str:
        if self.topology is not None:
            return self.topology.url
        if not (self._needs.proxies or self._needs.replica):
            return self.server.url
        proxy = self.proxies[name] = Proxy(self.server.path, self.random.randrange(2**32))
        await proxy.start()
        return proxy.url

    async def _program(self, name: str, command: str, *arguments: str) -> None:
        common = ("--redis-url", await self._url(name), "--set", f"pool.name={POOL}")
        durations = ("--set", f"queue.result_ttl={RESULT_TTL}")
        program = [sys.executable, "-m", "nexus_sched", command, *arguments, *common, *durations]
        own = {DIARY_VARIABLE: str(self.diary), WORKER_VARIABLE: name}
        if self.next_tree is not None and name[-1] in "13579":
            own["PYTHONPATH"] = str(self.next_tree)
        process = self.processes.add(name, program, {**self._environment, **own})
        (self.schedulers if command == "run" else self.workers).append(process)
        process.start()

    async def _order(self) -> list[str]:
        order = Order(
            url=await self._url("producer"),
            pool=POOL,
            reply=REPLY,
            rate=self.options.rate,
            seed=self.options.seed,
            length_max=self._needs.length_max,
            shards=self._needs.shards,
            acknowledged=str(self.directory / "acknowledged.log"),
            refusals=str(self.directory / "refusals.log"),
        )
        path = self.directory / "order.json"
        path.write_bytes(msgspec.json.encode(order))
        return [str(path)]

    async def _stop(self) -> None:
        try:
            for proxy in self.proxies.values():
                await proxy.close()
            for observer in getattr(self, "observers", ()):
                await observer.stop()
            for server in (getattr(self, "server", None), self.replica):
                if server is not None:
                    await server.close()
            if self.topology is not None:
                await self.topology.close()
        finally:
            self.processes.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- what the nemesis asks

    async def until_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until all workers are registered and somebody leads. Raises `Stuck`."""
        await self.eventually(self._ready, "workers and a leader", timeout_s)

    async def _ready(self) -> bool:
        with contextlib.suppress(StoreError):
            live = [int(await self.server.call("ZCARD", keys.heartbeats)) for keys in self.all_keys]
            return sum(live) >= self.options.workers and all(await self.leaders())
        return False

    async def leader(self) -> Process | None:
        """The scheduler that holds the lease of the first shard, if it runs."""
        return await self._leader_of(self.keys)

    async def leaders(self) -> list[Process | None]:
        """The scheduler that holds the lease of each shard, `None` where it does not run."""
        return [await self._leader_of(keys) for keys in self.all_keys]

    async def _leader_of(self, keys: ShardKeys) -> Process | None:
        owner = await self.server.call("HGET", keys.meta, "owner")
        pid = int((owner or b"").decode().rpartition(":")[2] or 0)
        return next((process for process in self.schedulers if process.pids[-1:] == [pid] and process.alive), None)

    async def the_leader(self) -> Process:
        """Wait for a leader. Raises `Stuck`."""
        found: list[Process] = []

        async def look() -> bool:
            with contextlib.suppress(StoreError):
                leader = await self.leader()
                found.extend([leader] if leader else [])
            return bool(found)

        await self.eventually(look, "a leader")
        return found[0]

    def tree_of_leader(self) -> Path:
        """The tree of the version that led last, by the copy of the journal."""
        turns = self.observer.turns
        began = (turns[seq].events[0] for seq in sorted(turns, reverse=True) if turns[seq].events)
        led = next((event.version for event in began if type(event) is EpochBegan), "")
        return self.next_tree if self.next_tree is not None and led == NEXT_VERSION else ROOT

    async def seq(self) -> int:
        """The last turn that the store holds."""
        return int(await self.server.call("HGET", self.keys.meta, "seq") or 0)

    async def dispatching_again(
        self, after: int, epoch: int, timeout_s: float = RECOVERY_TIMEOUT_S, shard: int = 0
    ) -> None:
        """Wait until a task is placed behind turn `after`. Raises `Stuck`."""
        if await self.observers[shard].dispatches(after, epoch, timeout_s) is None:
            logs = "\n".join(process.output[-1_500:] for process in self.schedulers)
            raise Stuck(f"nothing is dispatched behind turn {after} within {timeout_s:g} s:\n{logs}")

    async def eventually(self, holds: object, what: str, timeout_s: float = RECOVERY_TIMEOUT_S) -> None:
        """Wait until the coroutine function `holds` gives true. Raises `Stuck`."""
        assert callable(holds)
        give_up_at_s = time.monotonic() + timeout_s
        while not await holds():
            if time.monotonic() > give_up_at_s:
                logs = "\n".join(f"{p.name}: {p.output[-800:]}" for p in (*self.schedulers, *self.workers))
                raise Stuck(f"{what}: not within {timeout_s:g} s\n{logs}")
            await asyncio.sleep(POLL_S)

    async def pause(self, least_s: float, most_s: float) -> None:
        """Let some time pass, as the seed says."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    # -- the end

    async def heal(self) -> None:
        """All proxies clear, all processes running."""
        for proxy in self.proxies.values():
            proxy.heal()
        for process in (*self.schedulers, *self.workers, self.producer):
            if process.paused:
                process.signal(signal.SIGCONT)
        if not self.server.process.alive:
            await self.server.start()
        for process in (*self.schedulers, *self.workers):
            if not process.alive:
                process.start()

    def keep_evidence(self) -> None:
        """Copy what the processes wrote, and the journal in words, to where the options want it."""
        if not self.options.evidence:
            return
        place = Path(self.options.evidence) / f"{self.options.scenario}-{self.options.server}-{self.options.seed}"
        place.mkdir(parents=True, exist_ok=True)
        for log in self.directory.glob("*.log"):
            shutil.copy(log, place)
        shutil.copytree(self.diary, place / "diary", dirs_exist_ok=True)
        for number, observer in enumerate(self.observers):
            lines = [msgspec.json.encode(observer.turns[seq]) for seq in sorted(observer.turns)]
            (place / f"journal-{number}.jsonl").write_bytes(b"\n".join(lines))

    def acknowledged(self) -> list[str]:
        """The tasks that the producer wrote down, without what it had not finished writing."""
        return list(dict.fromkeys(self.acknowledgements()))

    def acknowledgements(self) -> list[str]:
        """The same, with those twice that two clients were told of."""
        return _lines(self.directory / "acknowledged.log")

    def refusals(self) -> list[str]:
        """What the producer was answered instead of yes."""
        return _lines(self.directory / "refusals.log")

    def executions(self) -> list[list[str]]:
        """[begin or end, task, attempt, worker, process] of every line that the workers wrote."""
        return [line.split() for path in sorted(self.diary.iterdir()) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()
