"""What `nexus-sched run` does: composes a scheduler of all pools, its gateway beside it if asked to, and serves.

Nothing that only a command line needs is imported here (decision 0045); that is `cli.run_command`.
A server that cannot be reached at the start is a mistake of whoever starts, so after
`redis.connect_timeout` it ends with code 4; one that vanishes later is retried for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import uvloop
from msgspec import structs

from nexus_sched.cli import exit_codes
from nexus_sched.cli.logs import set_up_logs
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.reload import Reload
from nexus_sched.cli.remembered import Remembered
from nexus_sched.cli.seats import make_seat, served_text, settled
from nexus_sched.cli.start import spare_what_is_loaded
from nexus_sched.cli.stores import registry_store
from nexus_sched.config.engine import engine_settings
from nexus_sched.errors import StoreLoading, StoreUnreachable
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.runtime.identity import is_dead, own_name
from nexus_sched.runtime.replica import Openable, Replica
from nexus_sched.units import MS_PER_S

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.model.settings import EngineSettings

CONNECT_RETRY_S = 0.2

Reached = TypeVar("Reached")


def run_scheduler(read: Callable[[], Config], *, as_json: bool, gateway: Sequence[str] | None = None) -> int:
    """Run the scheduler that the configuration describes, until a signal; `read` reads it, now and at each SIGHUP.

    `gateway`: the command line of one to run beside it. Gives the exit code. Raises `ConfigInvalid`, and any other
    `NexusError` that a start or a service can end with.
    """
    config = read()
    set_up_logs(config.logging)
    uvloop.run(_serve(config, read, gateway))
    if as_json:
        print_json({"stopped": True})
    return exit_codes.OK


async def _serve(config: Config, read: Callable[[], Config], gateway: Sequence[str] | None) -> None:
    predictors, settings = predictors_and_settings(config)
    owner = config.scheduler.owner or own_name()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    registry = registry_store(config)
    try:
        serves = await within(partial(_reached, registry, config), config.redis.connect_timeout_ms, stopping)
        if serves is None:
            return
        seat = partial(make_seat, config, owner, predictors, serves)
        replica = Replica(registry, owner, serves, seat, settings, is_dead=is_dead, only=config.pool.shard)
        apply = partial(replica.reconfigure, actor=f"SIGHUP at {owner}")
        remembered = Remembered(config)
        reload = Reload(config, settings, read, apply, remembered)
        replica.on_reload = partial(loop.call_soon, reload)  # a file is not read within a turn
        loop.add_signal_handler(signal.SIGHUP, reload)
        spare_what_is_loaded()
        note(f"Scheduling {served_text(serves, config.pool.shard)}; stop with Ctrl-C.")
        async with contextlib.AsyncExitStack() as beside:
            if gateway is not None:
                from nexus_sched.cli.supervised import Supervised

                child = await beside.enter_async_context(Supervised("gateway", gateway))
                loop.add_signal_handler(signal.SIGHUP, _each(reload, child.hang_up))
            await _until_stopped(replica, stopping)
            await remembered.close()
    finally:
        await registry.close()


def _each(*calls: Callable[[], None]) -> Callable[[], None]:
    def call_all() -> None:
        for call in calls:
            call()

    return call_all


async def _until_stopped(replica: Replica, stopping: asyncio.Event) -> None:
    """Serve; pass the request to stop on, and whatever ends serving on its own."""
    serving = asyncio.ensure_future(replica.run())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        replica.stop()
        await serving
    finally:
        stopped.cancel()


async def _reached(registry: Openable, config: Config) -> dict[str, int]:
    """Settle the pools and open the registry; all of it may be tried again."""
    serves = await settled(config)
    await registry.open()
    return serves


async def within(reach: Callable[[], Awaitable[Reached]], timeout_ms: int, stopping: asyncio.Event) -> Reached | None:
    """What `reach` gives, trying again while the server is not there or loading.

    Gives `None` if it was told to stop first; raises the last error when the time is up, and any other
    error at once.
    """
    deadline = time.monotonic() + timeout_ms / MS_PER_S
    told = False
    while not stopping.is_set():
        try:
            return await reach()
        except (StoreUnreachable, StoreLoading) as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                note(f"{error}; trying for {timeout_ms / MS_PER_S:g} s")
                told = True
            await asyncio.sleep(CONNECT_RETRY_S)
    return None


def predictors_and_settings(config: Config) -> tuple[Catalogue, EngineSettings]:
    """The predictors that may be used, and the engine's settings with the names that the journal should carry.

    Raises `ConfigInvalid` if a configured predictor is unknown or cannot be loaded.
    """
    wanted = config.predictor
    model = None if wanted.model is None else Path(wanted.model)
    catalogue = Catalogue([wanted.name, wanted.shadow], model)
    settings = structs.replace(
        engine_settings(config),
        predictor=catalogue.resolve(wanted.name),
        shadow_predictor=catalogue.resolve(wanted.shadow),
    )
    return catalogue, settings
