"""The gRPC server as a part of the gateway: it listens, packs, looks after its store, and lets calls end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc

from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import ListenRefused, StoreError
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.grpc.callers import recogniser
from nexus_sched.gateway.grpc.credentials import check_listening, server_credentials
from nexus_sched.gateway.grpc.inboxes import Inboxes
from nexus_sched.gateway.grpc.reports import Reports
from nexus_sched.gateway.grpc.server import HealthSign, WorkerService, options
from nexus_sched.gateway.grpc.work import Work
from nexus_sched.gateway.part import Part
from nexus_sched.runtime.ports import ReporterStore, WorkerStore
from nexus_sched.units import MS_PER_S

LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 2.0
GRACE_S = 1.0  # calls may end for so long at a stop


class GrpcPart(Part):
    """Workers' door. `target` is where it listens once it has started.

    `store` and `reporter` are the shard's; `make_waiter` gives a store for one read that blocks. None of them has to be
    open: they connect when they are first used, and it serves (`UNAVAILABLE`) without.
    """

    name = "grpc"

    def __init__(
        self,
        section: GrpcSection,
        authority: Authority,
        store: WorkerStore,
        reporter: ReporterStore,
        make_waiter: Callable[[], WorkerStore],
    ) -> None:
        check_listening(section, authority)
        self._section = section
        self._store = store
        self._reporter = reporter
        self._inboxes = Inboxes(store, make_waiter)
        self.reports = Reports(reporter, section.pack_interval_ms / MS_PER_S, time.monotonic)
        recognise = recogniser(authority, mutual=section.client_ca_file is not None)
        self.service = WorkerService(section, store, self.reports, Work(store, self._inboxes), recognise)
        self._health: HealthSign | None = None
        self._server: Any = None
        self._beside: list[asyncio.Task[None]] = []
        self._problem = "it has not started yet"
        self.port = 0

    @property
    def target(self) -> str:
        """What clients connect to."""
        host = f"[{self._section.host}]" if ":" in self._section.host else self._section.host
        return f"{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises `ConfigInvalid` for unusable TLS files, `ListenRefused` for a port that is taken."""
        section = self._section
        credentials = server_credentials(section)
        server = self._server = grpc.aio.server(options=options(section))
        server.add_generic_rpc_handlers((self.service.handlers(),))
        self._health = HealthSign()
        self._health.add_to(server)
        self.port = section.port
        try:
            if credentials is None:
                self.port = server.add_insecure_port(self.target)
            else:
                self.port = server.add_secure_port(self.target, credentials)
        except RuntimeError:
            raise ListenRefused(f"cannot listen on {self.target}; `grpc.port` chooses another port") from None
        await server.start()
        await self._look()
        self._beside = [asyncio.create_task(self.reports.run()), asyncio.create_task(self._keep_looking())]

    async def stop(self) -> None:
        """Take no more calls, let those under way end, close the rest."""
        if self._server is not None:
            await self._server.stop(GRACE_S)
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self._inboxes.close()
        await self._reporter.close()
        await self._store.close()

    def problem(self) -> str:
        """What the store answered the last time, if that was an error."""
        return self._problem

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        try:
            await asyncio.wait_for(self._reporter.report([], b""), LOOK_TIMEOUT_S)
        except StoreError as error:
            self._problem = str(error)
        except TimeoutError:
            self._problem = f"the store has not answered within {LOOK_TIMEOUT_S:g} s"
        else:
            self._problem = ""
        if self._health is not None:
            await self._health.show(serving=not self._problem)
