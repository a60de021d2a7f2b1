"""Asking the scheduler what only it knows: a question among the commands, and its answer on a list of its own."""

from __future__ import annotations

import math
import secrets

from nexus_sched.errors import AnswerMissing
from nexus_sched.model.command import Ask, encode_command
from nexus_sched.model.question import Question
from nexus_sched.runtime.ports import SubmitterStore
from nexus_sched.units import MS_PER_S


async def ask(store: SubmitterStore, question: Question, timeout_ms: float) -> bytes:
    """The answer, encoded, of the scheduler of an open store. Raises `AnswerMissing` if none came in time.

    An answer that was lost with its connection is nobody's: asking again makes another one.
    """
    reply = secrets.token_hex(8)
    await store.command(encode_command(Ask(reply, question)))
    blob = await store.answer(reply, math.ceil(timeout_ms))
    if blob is None:
        raise AnswerMissing(f"no scheduler has answered within {timeout_ms / MS_PER_S:g} s")
    return blob
