"""Listens for HTTP: uvicorn on a socket of ours, so that the port is known before the first request."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import uvicorn
from litestar.types import ASGIApp

from nexus_sched.config.schema import HttpSection
from nexus_sched.errors import ConfigInvalid, ListenRefused
from nexus_sched.gateway.http.protocol import bounded
from nexus_sched.gateway.part import Part
from nexus_sched.units import MS_PER_S

BACKLOG = 2_048
STOP_S = 1.0  # for requests that are being served
POLL_S = 0.01


class HttpPart(Part):
    """The HTTP server. `url` is where it listens once it has started."""

    name = "http"

    def __init__(self, http: HttpSection, app: ASGIApp) -> None:
        self._http = http
        self._app = app
        self._serving: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its address for people; no path."""
        host = f"[{self._http.host}]" if ":" in self._http.host else self._http.host
        return f"{'https' if self._http.tls_certificate_file else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises `ConfigInvalid` for unusable TLS files, `ListenRefused` for a port that is taken."""
        listening = listen(self._http.host, self._http.port, "http.port")
        self.port = int(listening.getsockname()[1])
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not a line for every request that is none
        server = self._server = uvicorn.Server(self._settings())
        server.config.load()
        server.config.ssl = tls_context(self._http)
        self._serving = asyncio.create_task(server._serve([listening]))
        while not server.started and not self._serving.done():
            await asyncio.sleep(POLL_S)

    def _settings(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=bounded(self._http),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=max(1, round(self._http.idle_timeout_ms / MS_PER_S)),
            timeout_graceful_shutdown=round(STOP_S),
        )

    async def stop(self) -> None:
        """Take no more connections, let requests end, close the rest."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)

    def problem(self) -> str:
        """Nothing, while it answers at all."""
        return ""


def listen(host: str, port: int, key: str) -> socket.socket:
    """A listening socket. Raises `ListenRefused`, naming the key of the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)  # with TCP named: asyncio then sends without delay
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.setblocking(False)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ListenRefused(f"cannot listen on {host}:{port}: {reason}; `{key}` chooses another port") from None
    return listening


def tls_context(http: HttpSection) -> ssl.SSLContext | None:
    """TLS 1.2 and newer with the configured certificate, `None` without one. Raises `ConfigInvalid`."""
    if http.tls_certificate_file is None:
        if http.tls_key_file is not None:
            raise ConfigInvalid(["`http.tls_key_file` needs `http.tls_certificate_file`"])
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(http.tls_certificate_file, http.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid([f"`http.tls_certificate_file`: the TLS files cannot be used: {error}"]) from None
    return context
