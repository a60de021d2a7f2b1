"""The command line; composition root, the only room that knows everyone.

`main` the entry and the one place where faults become exit codes · `app` the tree of commands, loaded when
used · `options` flags that all commands share · `output` what is printed · one module for each command ·
`reference` the generated pages in docs/.
"""

from nexus_sched.cli.main import main

__all__ = ["main"]
