"""The gateway as a process: `nexus-sched run --role gateway`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from nexus_sched.cli.output import note

if TYPE_CHECKING:
    from nexus_sched.cli.options import ConfigFlags
    from nexus_sched.config.schema import Config


def run_gateway(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps the gateway from starting."""
    import uvloop

    uvloop.run(_serve(config))


async def _serve(config: Config) -> None:
    from nexus_sched.gateway.compose import compose

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    composed = compose(config)

    def told() -> None:
        if composed.http is not None:
            note(f"Serving pool {config.pool.name} at {composed.http.url}; stop with Ctrl-C.")
        if composed.grpc is not None:
            note(f"Serving workers of pool {config.pool.name} by gRPC at {composed.grpc.target}.")

    await composed.gateway.run(stopping, told)


def gateway_command(flags: ConfigFlags, *, insecure_no_auth: bool) -> list[str]:
    """The command line of a gateway with the same configuration as this process."""
    command = [sys.executable, "-m", "nexus_sched", "run", "--role", "gateway", *flags.as_arguments()]
    return [*command, "--insecure-no-auth"] if insecure_no_auth else command
