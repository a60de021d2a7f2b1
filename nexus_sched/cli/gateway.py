"""The gateway as a process: `nexus-sched run --role gateway`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from nexus_sched.cli.logs import set_up_logs
from nexus_sched.cli.options import operator_name
from nexus_sched.cli.output import note
from nexus_sched.cli.start import spare_what_is_loaded
from nexus_sched.errors import ConfigInvalid, StoreError

if TYPE_CHECKING:
    from nexus_sched.cli.options import ConfigFlags
    from nexus_sched.config.schema import Config
    from nexus_sched.gateway.reloading import Reloading


def run_gateway(config: Config, read: Callable[[], Config]) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps the gateway from starting."""
    import uvloop

    uvloop.run(_serve(config, read))


async def _serve(config: Config, read: Callable[[], Config]) -> None:
    from nexus_sched.gateway.compose import compose

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    composed = compose(config, read)
    reloading = None if composed.services is None else composed.services.reloading
    if reloading is not None:
        reloading.listeners.append(lambda now: set_up_logs(now.logging))
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        if reloading is not None:
            task = asyncio.create_task(_reload(reloading))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)

    def told() -> None:
        spare_what_is_loaded()
        if composed.http is not None:
            note(f"Serving pool {config.pool.name} at {composed.http.url}; stop with Ctrl-C.")
        if composed.grpc is not None:
            note(f"Serving workers of pool {config.pool.name} by gRPC at {composed.grpc.target}.")

    await composed.gateway.run(stopping, told)


async def _reload(reloading: Reloading) -> None:
    from nexus_sched.control.record import Actor

    with contextlib.suppress(ConfigInvalid, StoreError):  # the log has said what is wrong
        await reloading.reload(Actor(operator_name(None), f"sighup {socket.gethostname()}"), "SIGHUP")


def gateway_command(flags: ConfigFlags, *, insecure_no_auth: bool) -> list[str]:
    """The command line of a gateway with the same configuration as this process."""
    command = [sys.executable, "-m", "nexus_sched", "run", "--role", "gateway", *flags.as_arguments()]
    return [*command, "--insecure-no-auth"] if insecure_no_auth else command
