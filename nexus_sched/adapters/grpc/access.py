"""How a gateway is reached and convinced: its address, TLS, and what the worker shows of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from msgspec import Struct

from nexus_sched.errors import InvalidInput

KEEPALIVE_MS = 20_000  # twice as seldom as a gateway allows
KEEPALIVE_TIMEOUT_MS = 10_000
MESSAGE_BYTES_MAX = 80 * 2**20  # a payload of the largest size and what goes with it

_OPTIONS = [
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class GatewayAccess(Struct, frozen=True, kw_only=True):
    """`target` is `host:port`. With `ca_file` the connection is TLS; files are read when a channel is made.

    Parameters
    ----------
    ca_file
        Authorities that sign the gateway's certificate; without it the connection is not encrypted.
    certificate_file, key_file
        The worker's own certificate, of which its id is an alternative name.
    token_file
        A file whose first line is a token of the role worker.
    """

    target: str
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    token_file: str | None = None

    def __post_init__(self) -> None:
        host, _, port = self.target.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
            raise InvalidInput(f"{self.target[:200]!r} is no gateway: write host:port")
        if (self.certificate_file is None) != (self.key_file is None):
            raise InvalidInput("a certificate and its key need each other")
        if self.ca_file is None and self.certificate_file is not None:
            raise InvalidInput("a certificate is shown over TLS only: name the authorities of the gateway's as well")

    def channel(self) -> Any:
        """A channel, which connects when it is first used. Raises `InvalidInput` for files that cannot be read."""
        if self.ca_file is None:
            return grpc.aio.insecure_channel(self.target, options=_OPTIONS)
        key = None if self.key_file is None else _read(self.key_file)
        chain = None if self.certificate_file is None else _read(self.certificate_file)
        return grpc.aio.secure_channel(
            self.target, grpc.ssl_channel_credentials(_read(self.ca_file), key, chain), options=_OPTIONS
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries. Raises `InvalidInput` for a token that cannot be read."""
        if self.token_file is None:
            return ()
        lines = _read(self.token_file).decode("ascii", "replace").split("\n", 1)
        return (("authorization", f"Bearer {lines[0].strip()}"),)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
