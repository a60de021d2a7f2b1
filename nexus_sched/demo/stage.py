"""Everything that runs during a demonstration: the server, the scheduler, the workers, the connections.

`Stage` is a context manager; what it started is gone when its block is left, however it is left.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from types import TracebackType

import msgspec

from nexus_sched.adapters.redis import RedisSubmitterStore
from nexus_sched.adapters.redis.address import parse_address
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.demo.options import DemoFailed, DemoOptions
from nexus_sched.demo.processes import Child, Children
from nexus_sched.demo.progress import ProgressDisplay
from nexus_sched.demo.server import Address, start_server
from nexus_sched.demo.tasks import ROLE_VARIABLE
from nexus_sched.demo.tasks import Role as WorkerRole
from nexus_sched.demo.workload import Workload
from nexus_sched.errors import StoreError
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.model.command import SetMode, encode_command
from nexus_sched.model.frame import Frame, decode_frame
from nexus_sched.model.settings import SHADOW

POOL = "demo"
FRAME_POLL_S = 0.1
MODE_TIMEOUT_S = 15.0
START_TIMEOUT_S = 30.0
START_TIMEOUT_WORKER_S = 1.0  # more for each worker: they start on however few cores there are
STOP_GRACE_S = 2.0
WATCH_PERIOD_S = 0.1

# Late heartbeats of dozens of processes on a small machine are no sign of death, and in a demonstration
# nobody dies: what counts as lost must not depend on the machine.
CONFIGURATION = """\
[redis]
url = {url}

[pool]
name = {pool}

[scheduler]
mode = {mode}
suspect = "20s"
dead = "60s"

[queue]
length_max = 1_000_000

[http]
port = {port}

[http.auth]
tokens_file = {tokens}
"""
_LISTENS = re.compile(r" at (https?://[^;]+);")


class Stage:
    """The running parts. `address` and `store` are there once the block is entered."""

    def __init__(self, workload: Workload, options: DemoOptions, directory: Path, display: ProgressDisplay) -> None:
        self._workload = workload
        self._options = options
        self._directory = directory
        self._display = display
        self._base = Children(directory)  # the server: it goes last, so that the others can say good-bye
        self._children = Children(directory)
        self.address: Address
        self.store: RedisSubmitterStore
        self.client: RespClient  # for what is outside the submitter's port: journal and witness stream

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
        cause = await self._cause(error)
        try:
            await self.store.close()
            await self.client.close()
        finally:
            await self._stop()
        if cause is not None:
            raise cause from error

    async def _cause(self, error: BaseException | None) -> DemoFailed | None:
        """The process whose end is behind `error`: connections to it may break before it is missed."""
        if isinstance(error, Exception):
            await asyncio.sleep(WATCH_PERIOD_S)
            try:
                self.check()
            except DemoFailed as failure:
                return failure
        return None

    async def _stop(self) -> None:
        try:
            await self._children.stop(STOP_GRACE_S)
        finally:
            await self._base.stop(STOP_GRACE_S)

    async def _start(self) -> None:
        count = len(self._workload.fleet)
        self._display.begin("starting", count)
        self.address = await start_server(self._base, self._directory)
        self.store = RedisSubmitterStore(self.address.url, POOL)
        self.client = RespClient(parse_address(self.address.url))
        await self.store.open()
        await self.client.open()
        configuration = self._directory / "nexus.toml"
        tokens_file = self._directory / "tokens.toml"
        configuration.write_text(configuration_text(self.address, self._options.port, tokens_file), encoding="utf-8")
        command = [sys.executable, "-m", "nexus_sched"]
        environment = {"PYTHONPATH": import_path()}
        self._children.start("scheduler", [*command, "run", "--config", str(configuration)], environment)
        token, row = tokens.create("demo", Role.VIEWER, tokens.now_utc(), None)
        tokens.write(tokens_file, [row])
        gateway = self._children.start(
            "gateway", [*command, "run", "--role", "gateway", "--config", str(configuration)], environment
        )
        for profile in self._workload.fleet:
            role_file = self._directory / f"{profile.name}.json"
            role_file.write_bytes(msgspec.json.encode(WorkerRole(profile, self.address)))
            # with "=", because a class of a trace may begin with a dash
            offer = [f"--name={profile.name}", f"--class={profile.worker_class}", f"--slots={self._options.slots}"]
            self._children.start(
                profile.name,
                [*command, "worker", "nexus_sched.demo.tasks:app", "--config", str(configuration), *offer],
                {**environment, ROLE_VARIABLE: str(role_file)},
            )
        await self._until_ready(count)
        url = await self._listening(gateway)
        self._display.say(f"look on at {url}/v1/stats with the header  Authorization: Bearer {token}")

    async def _listening(self, gateway: Child) -> str:
        """Where the gateway listens, once it says so."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while (found := _LISTENS.search(gateway.log.read_text(errors="replace"))) is None:
                    self.check()
                    await asyncio.sleep(FRAME_POLL_S)
        except TimeoutError as error:
            raise DemoFailed(f"the gateway did not listen within {START_TIMEOUT_S:g} s") from error
        return found[1]

    async def _until_ready(self, count: int) -> None:
        timeout_s = START_TIMEOUT_S + START_TIMEOUT_WORKER_S * count
        try:
            async with asyncio.timeout(timeout_s):
                live = 0
                while live < count:
                    self.check()
                    frame = await self.frame()
                    live = 0 if frame is None else frame.workers_accepting
                    self._display.update(live, f"{live} of {count} workers")
                    await asyncio.sleep(FRAME_POLL_S)
        except TimeoutError as error:
            raise DemoFailed(f"only {live} of {count} workers were ready within {timeout_s:g} s") from error
        self._display.end(f"{count} workers ready")

    async def frame(self) -> Frame | None:
        """The scheduler's newest picture of itself."""
        blob = await self.store.frame()
        return None if blob is None else decode_frame(blob)

    async def set_mode(self, mode: str) -> None:
        """Ask the scheduler to place in another way, and wait until it does."""
        await self.store.command(encode_command(SetMode(mode)))
        try:
            async with asyncio.timeout(MODE_TIMEOUT_S):
                while (frame := await self.frame()) is None or frame.mode != mode:
                    await asyncio.sleep(FRAME_POLL_S)
        except TimeoutError as error:
            raise DemoFailed(f"the scheduler did not change to mode {mode} within {MODE_TIMEOUT_S:g} s") from error

    def check(self) -> None:
        """Raise `DemoFailed` if a process has ended by itself."""
        self._base.check()
        self._children.check()

    async def watch(self) -> None:
        """Run until a process ends by itself, then raise `DemoFailed`."""
        while True:
            self.check()
            await asyncio.sleep(WATCH_PERIOD_S)

    async def server_version(self) -> str:
        """Name and version of the server, e.g. `valkey 9.1.2`."""
        try:
            lines = (await self.client.call(b"INFO", b"server")).decode().splitlines()
        except StoreError:
            return "server of unknown version"
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        name = found.get("server_name", "redis")
        return f"{name} {found.get(f'{name}_version', found.get('redis_version', '?'))}"


def configuration_text(address: Address, port: int, tokens_file: Path) -> str:
    """The `nexus.toml` of all parts."""
    # A TOML basic string is a JSON string, but for the few characters that neither a path nor a name has.
    quoted = {"url": address.url, "pool": POOL, "mode": SHADOW, "tokens": str(tokens_file)}
    texts = {name: msgspec.json.encode(value).decode() for name, value in quoted.items()}
    return CONFIGURATION.format(port=port, **texts)


def import_path() -> str:
    """Where the children import from: the very places that this process does."""
    return os.pathsep.join(str(Path(place or ".").resolve()) for place in sys.path)
