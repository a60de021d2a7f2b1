"""The section of workers' own door: where gRPC listens, whom it lets in, and what it bounds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DURATION, MINUTE_MS, SIZE
from nexus_sched.model.worker import SILENCE_MS_MAX, SILENCE_MS_MIN


class GrpcSection(Struct, frozen=True, kw_only=True):
    """Where the gateway listens for workers: capacity reports, and work for those that cannot reach the store."""

    enabled: Annotated[bool, Meta(description="Whether the gateway serves gRPC.")] = False
    host: Annotated[
        str,
        Meta(
            description="Address to listen on. Anything but loopback needs TLS, and `client_ca_file` or "
            "`http.auth.tokens_file`.",
            min_length=1,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(description="Port to listen on; 0 takes a free one, which is printed.", ge=0, le=65_535)
    ] = 50_051
    tls_certificate_file: Annotated[
        str | None, Meta(description="File with the certificate chain; with it gRPC speaks TLS only.")
    ] = None
    tls_key_file: Annotated[str | None, Meta(description="File with the certificate's private key.")] = None
    client_ca_file: Annotated[
        str | None,
        Meta(
            description="File with the authorities that sign workers' certificates. With it a worker has to show one, "
            "and may speak only for the worker ids that stand in it as alternative names."
        ),
    ] = None
    connections_max: Annotated[
        int,
        Meta(description="Connections at once; some 16 kB of memory each; further ones are closed.", ge=1, le=100_000),
    ] = 4_000
    handshake_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a client may take from connecting until it has said all that comes before a call.",
            ge=100,
            le=MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="handshake_timeout", default=10_000)
    streams_max: Annotated[
        int,
        Meta(
            description="Report streams at once, some 27 kB of memory each; further ones are refused.",
            ge=1,
            le=1_000_000,
        ),
    ] = 3_000
    calls_max: Annotated[
        int, Meta(description="Other calls at once, those that wait for work included.", ge=1, le=100_000)
    ] = 2_000
    call_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a call may take whose client set no deadline, and any call at most.",
            ge=100,
            le=10 * MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="call_timeout", default=30_000)
    message_bytes_max: Annotated[
        int, Meta(description="Largest message that is read, results included.", ge=65_536, le=2**30, extra=SIZE)
    ] = 20 * 2**20
    pack_interval_ms: Annotated[
        int,
        Meta(
            description="How long capacity reports gather before they are written together.",
            ge=1,
            le=1_000,
            extra=DURATION,
        ),
    ] = field(name="pack_interval", default=25)
    heartbeat_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a worker that lives by its reports alone may be silent before it counts as lost.",
            ge=SILENCE_MS_MIN,
            le=SILENCE_MS_MAX,
            extra=DURATION,
        ),
    ] = field(name="heartbeat_timeout", default=30_000)
