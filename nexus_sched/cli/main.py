"""The entry: runs a command, and turns what it raises into words and an exit code.

Expected faults never show a traceback; anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nexus_sched.cli import exit_codes
from nexus_sched.cli.output import note, print_error, print_usage_error
from nexus_sched.cli.start import COMMAND, plain_start
from nexus_sched.errors import NexusError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (those of the process by default); gives the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in tokens
    try:
        start = plain_start(tokens[1:]) if tokens[:1] == [COMMAND] else None
        return _run_command(tokens, as_json) if start is None else start.run()
    except NexusError as error:
        print_error(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        note("nexus-sched: stopped")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK


def _run_command(tokens: list[str], as_json: bool) -> int:
    from cyclopts import CycloptsError

    from nexus_sched.cli.app import build_app

    try:
        code = build_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print_usage_error(" ".join(str(error).split()), as_json)
        return exit_codes.USAGE
    return code if isinstance(code, int) else exit_codes.OK
