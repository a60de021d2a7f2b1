"""What an operator or submitter asks of the leader, by way of the `cmd` stream (field `f`)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from nexus_sched.model.task import DurationMs

PIN_MS_MAX = 90 * 86_400_000  # a pin that should last longer is a wrong model


class CancelTask(Struct, frozen=True, tag="cancel", tag_field="kind"):
    """Do not run this task, or stop it."""

    task_id: str


class SetMode(Struct, frozen=True, tag="mode", tag_field="kind"):
    """Choose how workers are picked; one of `settings.MODES`."""

    mode: str


class ChoosePredictor(Struct, frozen=True, tag="predictor", tag_field="kind"):
    """Let this predictor speak; the former one goes into the shadow, so that choosing it again rolls back."""

    name: str


class ShadowPredictor(Struct, frozen=True, tag="shadow", tag_field="kind"):
    """Let this predictor learn and be scored beside the active one; an empty name ends that."""

    name: str


class PinEstimate(Struct, frozen=True, tag="pin", tag_field="kind"):
    """Let a value or a factor stand for the predictions of a type, for a while."""

    task_type: str
    for_ms: Annotated[int, Meta(ge=1, le=PIN_MS_MAX)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    actor: Annotated[str, Meta(max_length=128)] = ""
    value_ms: DurationMs | None = None
    factor: Annotated[float, Meta(ge=0.001, le=1000.0)] = 1.0


class UnpinEstimate(Struct, frozen=True, tag="unpin", tag_field="kind"):
    """End a pinned estimate."""

    task_type: str


Command = CancelTask | SetMode | ChoosePredictor | ShadowPredictor | PinEstimate | UnpinEstimate

encode_command = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode
