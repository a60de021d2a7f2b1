"""What an operator or submitter asks of the leader, by way of the `cmd` stream (field `f`)."""

from __future__ import annotations

import msgspec
from msgspec import Struct


class CancelTask(Struct, frozen=True, tag="cancel", tag_field="kind"):
    """Do not run this task, or stop it."""

    task_id: str


class SetMode(Struct, frozen=True, tag="mode", tag_field="kind"):
    """Choose how workers are picked; one of `settings.MODES`."""

    mode: str


Command = CancelTask | SetMode

encode_command = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
