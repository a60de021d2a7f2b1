"""`nexus-sched version`."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli.output import print_json
from nexus_sched.version import VERSION


def version(*, json: Annotated[bool, Parameter(name="--json", show_default=False)] = False) -> int:
    """Print the version.

    Parameters
    ----------
    json
        Print one JSON object on standard output.
    """
    python = ".".join(map(str, sys.version_info[:3]))
    if json:
        print_json({"version": VERSION, "python": python})
    else:
        sys.stdout.write(f"nexus-sched {VERSION} (Python {python})\n")
    return 0
