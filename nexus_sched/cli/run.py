"""`nexus-sched run`: composes the scheduler of one pool, its gateway, or both, and serves until told to stop.

A server that cannot be reached at the start is a mistake of whoever starts, so after
`redis.connect_timeout` it ends with code 4; one that vanishes later is retried for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from msgspec import structs

from nexus_sched.cli import exit_codes
from nexus_sched.cli.gateway import gateway_command, run_gateway
from nexus_sched.cli.logs import set_up_logs
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.reload import Reload
from nexus_sched.cli.stores import intake_followers, leader_store
from nexus_sched.cli.supervised import Supervised
from nexus_sched.config.engine import engine_settings
from nexus_sched.errors import StoreLoading, StoreUnreachable
from nexus_sched.plugins.catalogue import Catalogue
from nexus_sched.runtime.identity import is_dead, own_name
from nexus_sched.runtime.service import Service, ServiceSettings
from nexus_sched.units import MS_PER_S

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config
    from nexus_sched.model.settings import EngineSettings
    from nexus_sched.runtime.ports import LeaderStore

CONNECT_RETRY_S = 0.2


def run(
    *,
    mode: Annotated[
        Literal["predictive", "shadow", "round-robin"] | None,
        Parameter(help="How workers are picked, instead of `scheduler.mode`.", show_default=False),
    ] = None,
    role: Annotated[
        Literal["scheduler", "gateway", "all"],
        Parameter(help="What this process is: the scheduler, the gateway (HTTP API), or both, in two processes."),
    ] = "scheduler",
    insecure_no_auth: Annotated[
        bool,
        Parameter(
            name="--insecure-no-auth",
            help="Gateway: let everybody on this machine do everything, instead of `http.auth.insecure_no_auth`.",
            show_default=False,
        ),
    ] = False,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Run the scheduler of a pool until SIGTERM or Ctrl-C, which hand over without losing anything.

    SIGHUP reads the configuration again. Further instances stand by and take over when the first one stops or dies.
    The gateway holds nothing that a task depends on: any number of them may run, and be killed at any time.
    """

    def read() -> Config:
        no_auth = "true" if insecure_no_auth else None
        return flags.load_with(
            ("--mode", "scheduler.mode", mode), ("--insecure-no-auth", "http.auth.insecure_no_auth", no_auth)
        ).config

    config = read()
    set_up_logs(config.logging)
    if role == "gateway":
        run_gateway(config)
    else:
        beside = gateway_command(flags, insecure_no_auth=insecure_no_auth) if role == "all" else None
        asyncio.run(_serve(config, read, beside))
    if flags.json:
        print_json({"stopped": True})
    return exit_codes.OK


async def _serve(config: Config, read: Callable[[], Config], gateway: Sequence[str] | None) -> None:
    predictors, settings = predictors_and_settings(config)
    store, followers = leader_store(config), intake_followers(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    shard = service_settings(config)
    service = Service(store, shard, settings, predictors, [each.run for each in followers], is_dead=is_dead)
    apply = partial(service.reconfigure, actor=f"SIGHUP at {shard.owner}")
    reload = Reload(config, settings, read, apply)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        if not await open_within(store, config.redis.connect_timeout_ms, stopping):
            return
        for follower in followers:
            await follower.open()
        note(f"Scheduling pool {config.pool.name}; stop with Ctrl-C.")
        async with contextlib.AsyncExitStack() as beside:
            if gateway is not None:
                child = await beside.enter_async_context(Supervised("gateway", gateway))
                loop.add_signal_handler(signal.SIGHUP, _each(reload, child.hang_up))
            await _until_stopped(service, stopping)
    finally:
        for follower in followers:
            await follower.close()
        await store.close()


def _each(*calls: Callable[[], None]) -> Callable[[], None]:
    def call_all() -> None:
        for call in calls:
            call()

    return call_all


async def _until_stopped(service: Service, stopping: asyncio.Event) -> None:
    """Serve; pass the request to stop on, and whatever ends the service on its own."""
    serving = asyncio.ensure_future(service.run())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        service.stop()
        await serving
    finally:
        stopped.cancel()


async def open_within(store: LeaderStore, timeout_ms: int, stopping: asyncio.Event) -> bool:
    """Open the store, trying again while the server is not there or loading.

    Gives `False` if it was told to stop first; raises the last error when the time is up, and any other
    error at once.
    """
    deadline = time.monotonic() + timeout_ms / MS_PER_S
    told = False
    while not stopping.is_set():
        try:
            await store.open()
        except (StoreUnreachable, StoreLoading) as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                note(f"{error}; trying for {timeout_ms / MS_PER_S:g} s")
                told = True
            await asyncio.sleep(CONNECT_RETRY_S)
        else:
            return True
    return False


def service_settings(config: Config) -> ServiceSettings:
    """What the service needs besides the engine's settings."""
    return ServiceSettings(
        pool=config.pool.name,
        shard=config.pool.shard,
        owner=config.scheduler.owner or own_name(),
        lease_ms=config.scheduler.lease_ms,
        suspect_ms=config.scheduler.suspect_ms,
        dead_ms=config.scheduler.dead_ms,
    )


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
