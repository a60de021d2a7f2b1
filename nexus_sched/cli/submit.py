"""`nexus-sched submit TYPE`: puts one task into the queue, and waits for its result if asked to."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.demands import NO_DEMANDS, DemandFlags
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.errors import InvalidInput, ResultPending
from nexus_sched.model.printable import printable_json
from nexus_sched.model.task import PAYLOAD_BYTES_MAX, PRIORITY_DEFAULT

if TYPE_CHECKING:
    from nexus_sched.config.schema import Config


def submit(
    task_type: Annotated[str, Parameter(name="type")],
    /,
    *,
    payload: str = "",
    priority: int = PRIORITY_DEFAULT,
    task_id: Annotated[str | None, Parameter(name="--id")] = None,
    timeout: str | None = None,
    hint: str | None = None,
    eta: bool = False,
    wait: bool = False,
    wait_timeout: str | None = None,
    demands: DemandFlags = NO_DEMANDS,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Submit a task, and wait for its result if asked to.

    Prints the id of the task or, with --wait, its result as JSON. A task that fails ends the command
    with code 1.

    Parameters
    ----------
    task_type
        Name of the function that a worker offers.
    payload
        JSON: an array gives the positional arguments, an object the keyword arguments, anything else the
        only argument. @FILE reads it from a file, - from standard input.
    priority
        0 to 9, 9 is the most urgent.
    task_id
        Your own id; a repeated one is recognised and nothing runs twice.
    timeout
        The worker ends the run after this long, such as 30s.
    hint
        Your own estimate of the run time, such as 2s.
    eta
        Say when it will start and finish; at most a second is waited for that.
    wait
        Wait for the end of the task.
    wait_timeout
        Stop waiting after this long, such as 1m; the task goes on.
    """
    from nexus_sched.client import submission

    blob = read_payload(payload)
    config = flags.read()
    options = demands.options()
    options |= {"priority": priority, "task_id": task_id, "timeout": timeout, "hint": hint, "eta": eta}
    submission(task_type, payload=blob, codec="json", **options)  # what is wrong is said before anything connects
    waits = wait or wait_timeout is not None
    answer = asyncio.run(_submit(config, task_type, blob, options, waits, wait_timeout, as_json=flags.json))
    if flags.json:
        print_json(answer)
    elif "result" in answer:
        sys.stdout.write(printable_json(msgspec.json.encode(answer["result"]).decode()) + "\n")
    else:
        sys.stdout.write(f"{answer['task_id']}\n")
    return exit_codes.OK


async def _submit(
    config: Config,
    task_type: str,
    payload: bytes,
    options: dict[str, Any],
    wait: bool,
    wait_timeout: str | None,
    *,
    as_json: bool,
) -> dict[str, object]:
    from nexus_sched.cli.stores import submitter_store
    from nexus_sched.cli.task import described, words_of
    from nexus_sched.client import AsyncClient

    async with AsyncClient(store=submitter_store(config)) as client:
        handle = await client.submit(task_type, payload=payload, codec="json", **options)
        answer: dict[str, object] = {"task_id": handle.id}
        if options.get("eta"):
            answer["eta"] = described(handle.eta)
            if not as_json:  # at once: whoever waits for the result wants to know now
                for line in ["eta: the scheduler has said nothing yet"] if handle.eta is None else words_of(handle.eta):
                    note(line)
        if wait:
            try:
                answer["result"] = await handle.result(wait_timeout)
            except ResultPending as error:
                raise ResultPending(f"{error}; it goes on") from None
            answer["outcome"] = "succeeded"
        return answer


def read_payload(text: str) -> bytes:
    """The JSON payload given as text, `@file` or `-`. Raises `InvalidInput` if it is none."""
    if text.startswith("@"):
        try:
            blob = Path(text[1:]).read_bytes()
        except OSError as error:
            raise InvalidInput(f"{text[1:]} cannot be read: {(error.strerror or str(error)).lower()}") from error
    elif text == "-":
        blob = sys.stdin.buffer.read(PAYLOAD_BYTES_MAX + 1)
    else:
        blob = os.fsencode(text)
    if len(blob) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(f"the payload is larger than {PAYLOAD_BYTES_MAX // 2**20} MiB")
    try:
        if blob.strip():
            msgspec.json.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the payload is not JSON: {error}; quote it for the shell: --payload '[1, 2]'") from error
    return blob.strip()
