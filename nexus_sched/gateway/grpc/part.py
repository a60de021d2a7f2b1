"""The gRPC server as a part of the gateway: it listens, packs, looks after its store, and lets calls end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc

from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import ListenRefused
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.grpc.callers import recogniser
from nexus_sched.gateway.grpc.credentials import check_listening, server_credentials
from nexus_sched.gateway.grpc.pools import PoolDoor, Pools, PoolStores
from nexus_sched.gateway.grpc.server import HealthSign, WorkerService, options
from nexus_sched.gateway.part import Part

LOOK_EVERY_S = 1.0
GRACE_S = 1.0  # calls may end for so long at a stop


class GrpcPart(Part):
    """Workers' door. `target` is where it listens once it has started.

    `pools` are those that are served, by name, and `own` is the one of workers that name none. Their stores connect
    when they are first used, and it serves (`UNAVAILABLE`) without.
    """

    name = "grpc"

    def __init__(
        self,
        section: GrpcSection,
        authority: Authority,
        pools: Mapping[str, PoolStores],
        own: str | None,
    ) -> None:
        check_listening(section, authority)
        self._section = section
        self.pools = Pools({name: PoolDoor(stores, section) for name, stores in pools.items()}, own)
        recognise = recogniser(authority, mutual=section.client_ca_file is not None)
        self.service = WorkerService(section, self.pools, recognise)
        self._health: HealthSign | None = None
        self._server: Any = None
        self._beside: list[asyncio.Task[None]] = []
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
        writing = [asyncio.create_task(door.reports.run()) for door in self.pools.doors.values()]
        self._beside = [*writing, asyncio.create_task(self._keep_looking())]

    async def stop(self) -> None:
        """Take no more calls, let those under way end, close the rest."""
        if self._server is not None:
            await self._server.stop(GRACE_S)
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await asyncio.gather(*(door.close() for door in self.pools.doors.values()))

    def problem(self) -> str:
        """What the stores answered the last time, if all of that was errors."""
        return self.pools.problem()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()

    async def _look(self) -> None:
        await self.pools.look()
        if self._health is not None:
            await self._health.show(serving=not self.problem())
