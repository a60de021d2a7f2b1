"""What commands print: data on standard output, words for people on standard error.

With `--json` standard output holds exactly one JSON object, also when the command fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nexus_sched.errors import ConfigInvalid, NexusError
from nexus_sched.model.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console

# What to do next, by the code of an error.
ADVICE = {
    "CONFIG_INVALID": "Correct these and try again; `nexus-sched config explain KEY` says what a key takes.",
    "STORE_UNREACHABLE": "Is the server running, and is `redis.url` right? See `nexus-sched config show --origin`.",
    "STORE_LOADING": "The server is still reading its data from disk; try again in a moment.",
    "STORE_READ_ONLY": "This server takes no writes: point `redis.url` at the primary.",
    "STORE_OUT_OF_MEMORY": "Raise the server's `maxmemory`, or let the queue drain first.",
    "STORE_NOT_PERSISTING": "The server cannot write its own files: look at its log and its disk.",
    "STORE_AUTH_REFUSED": "Put the URL with user and password into a file and name it in `redis.url_file`.",
    "PROTOCOL_NEWER": "Upgrade this machine to the version that leads the pool, or name another pool.",
    "VERSIONS_DIFFER": "Start a scheduler of the version that led last and stop it in order: it leaves its state.",
    "STORE_UNSUITABLE": "Change the server's configuration; for a queue `maxmemory-policy` must be `noeviction`.",
    "STATE_LOST": "Restore the server's data; starting afresh would lose tasks without a word.",
    "FENCED": "Another scheduler leads this shard, or another worker runs under this name.",
    "BUSY": "The queue is full: try again later, or raise `queue.length_max` or `queue.bytes_max`.",
    "TASK_UNKNOWN": "Check the id; ends are remembered for `queue.result_ttl`.",
    "NO_ANSWER": "Is a scheduler running? `nexus-sched status` says when it was last heard of.",
    "RESULT_PENDING": "The task has not ended; wait longer with --wait-timeout.",
}


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    import msgspec

    sys.stdout.write(printable_json(msgspec.json.encode(value, order="sorted").decode()) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for people on standard error."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def print_error(error: NexusError, as_json: bool) -> None:
    """An expected fault, and what to do about it."""
    note(_in_words(error))
    if as_json:
        body: dict[str, object] = {"code": error.code, "message": str(error)}
        if isinstance(error, ConfigInvalid):
            body["problems"] = error.problems
        print_json({"error": body})


def print_usage_error(message: str, as_json: bool) -> None:
    """A mistake on the command line."""
    note(f"nexus-sched: {message}\nSee `nexus-sched --help`.")
    if as_json:
        print_json({"error": {"code": "USAGE", "message": message}})


def console() -> Console:
    """For tables on standard output; colours only on a terminal, and never with NO_COLOR."""
    from rich.console import Console
    from rich.segment import Segment

    class Safe(Console):
        """Shows what others have written without obeying it."""

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return Safe(highlight=False, soft_wrap=False)


def _in_words(error: NexusError) -> str:
    advice = ADVICE.get(error.code, "")
    if isinstance(error, ConfigInvalid):
        count = len(error.problems)
        head = f"nexus-sched: {count} problem{'s' if count > 1 else ''} in the configuration"
        return "\n".join([head, *(f"  {problem}" for problem in error.problems), advice])
    return f"nexus-sched: {error}" + (f"\n{advice}" if advice else "")
