"""Sections of the gateway: where it listens, whom it lets in, what it bounds, and what it remembers of changes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from nexus_sched.config.schema.kinds import DAY_MS, DURATION, HOT, MINUTE_MS, SIZE


class HttpSection(Struct, frozen=True, kw_only=True):
    """Where the gateway's HTTP API listens, and what it bounds."""

    enabled: Annotated[bool, Meta(description="Whether the gateway serves HTTP.")] = True
    host: Annotated[
        str,
        Meta(description="Address to listen on. Anything but loopback needs `http.auth.tokens_file`.", min_length=1),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(description="Port to listen on; 0 takes a free one, which is printed.", ge=0, le=65_535)
    ] = 8_080
    tls_certificate_file: Annotated[
        str | None, Meta(description="File with the certificate chain; with it the API speaks TLS only.")
    ] = None
    tls_key_file: Annotated[str | None, Meta(description="File with the certificate's private key.")] = None
    hosts: Annotated[
        list[str],
        Meta(
            description="Names by which clients may call the gateway (the Host header, without a port), besides its "
            'address and `localhost`. `["*"]` allows any.',
        ),
    ] = field(default_factory=list)
    origins: Annotated[
        list[str],
        Meta(description="Origins of web pages that may call the API, such as `https://ops.example`, besides its own."),
    ] = field(default_factory=list)
    body_bytes_max: Annotated[
        int, Meta(description="Largest body of a request.", ge=1_024, le=80 * 2**20, extra=SIZE)
    ] = 8 * 2**20
    header_bytes_max: Annotated[
        int, Meta(description="Largest head of a request: its line and all headers.", ge=1_024, le=2**20, extra=SIZE)
    ] = 16 * 2**10
    connections_max: Annotated[
        int, Meta(description="Connections at once; further ones are closed at once.", ge=1, le=1_000_000)
    ] = 12_000
    head_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a client may take to send the head of a request.",
            ge=100,
            le=10 * MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="head_timeout", default=5_000)
    body_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a client may take to send the body of a request.",
            ge=100,
            le=10 * MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="body_timeout", default=30_000)
    idle_timeout_ms: Annotated[
        int,
        Meta(
            description="How long a connection may stay open without a request.",
            ge=100,
            le=DAY_MS,
            extra=DURATION,
        ),
    ] = field(name="idle_timeout", default=60_000)
    patience_ms: Annotated[
        int,
        Meta(
            description="How long a request is tried again while the store cannot be reached, before it is answered "
            "with 503.",
            ge=0,
            le=MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="patience", default=2_000)
    eta_wait_ms: Annotated[
        int,
        Meta(
            description="How long the answer to a submission waits for the scheduler's estimate; it comes within "
            "milliseconds while a scheduler leads.",
            ge=0,
            le=MINUTE_MS,
            extra=DURATION,
        ),
    ] = field(name="eta_wait", default=250)


class HttpAuthSection(Struct, frozen=True, kw_only=True):
    """Who may use the gateway, HTTP and gRPC."""

    tokens_file: Annotated[
        str | None,
        Meta(
            description="File of tokens that `nexus-sched token create` writes; read again when it changes. Without it "
            "the gateway listens on loopback only, and lets those who call from there look, not change."
        ),
    ] = None
    insecure_no_auth: Annotated[
        bool,
        Meta(description="Let everybody who calls from this machine do everything. Refused on any other address."),
    ] = False


class RateLimitSection(Struct, frozen=True, kw_only=True):
    """How many requests one client may send, counted over all gateways. A client is a token, or an address without."""

    requests_per_s: Annotated[
        int,
        Meta(description="Requests a second that are admitted; 0 is no limit.", ge=0, le=1_000_000, extra=HOT),
    ] = 0
    window_ms: Annotated[
        int,
        Meta(
            description="Over which time they are counted: after a pause a client may use up its share of one at once.",
            ge=1_000,
            le=MINUTE_MS,
            extra=DURATION | HOT,
        ),
    ] = field(name="window", default=1_000)


class AuditSection(Struct, frozen=True, kw_only=True):
    """What is remembered of every change that people make."""

    records_max: Annotated[
        int,
        Meta(
            description="Records that are kept; older ones are cut off, which the chain shows. Export them before.",
            ge=1_000,
            le=100_000_000,
        ),
    ] = 1_000_000
    key_file: Annotated[
        str | None,
        Meta(
            description="File with the private key by which records are signed (Ed25519, PEM), for its owner only: "
            "`nexus-sched audit key FILE` makes one."
        ),
    ] = None
    public_keys_file: Annotated[
        str | None,
        Meta(
            description="File with the public keys by which `audit verify` proves that nobody else wrote the trail "
            "anew: the present one, and those before it as long as records are kept that they signed."
        ),
    ] = None
