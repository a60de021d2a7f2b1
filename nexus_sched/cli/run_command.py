"""`nexus-sched run` as the tree of commands knows it; `cli.start` understands its plain form without the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.gateway import gateway_command, run_gateway
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import print_json
from nexus_sched.cli.start import MODE, MODE_KEY, imports

with imports():
    from nexus_sched.cli.logs import set_up_logs
    from nexus_sched.cli.run import run_scheduler

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config


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
            (MODE, MODE_KEY, mode), ("--insecure-no-auth", "http.auth.insecure_no_auth", no_auth)
        ).config

    if role != "gateway":
        beside = gateway_command(flags, insecure_no_auth=insecure_no_auth) if role == "all" else None
        return run_scheduler(read, as_json=flags.json, gateway=beside)
    config = read()
    set_up_logs(config.logging)
    run_gateway(config, read)
    if flags.json:
        print_json({"stopped": True})
    return exit_codes.OK
