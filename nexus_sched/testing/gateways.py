"""A gateway's gRPC door in this process, and the stores of a shard whose workers come through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import structs

from nexus_sched.adapters.grpc import GatewayAccess, GrpcWorkerStore
from nexus_sched.config.schema import GrpcSection
from nexus_sched.gateway.access.authority import Authority
from nexus_sched.gateway.grpc.part import GrpcPart
from nexus_sched.gateway.grpc.pools import PoolStores
from nexus_sched.runtime.ports import ReporterStore, SubmitterStore
from nexus_sched.testing.conformance import InspectableLeader, StoreFactory

POOL = "default"


@asynccontextmanager
async def grpc_door(
    behind: StoreFactory, section: GrpcSection | None = None, authority: Authority | None = None, *, port: int = 0
) -> AsyncIterator[GrpcPart]:
    """A door on a free loopback port over the stores of `behind`; by default whoever comes is let in."""
    section = structs.replace(section or GrpcSection(pack_interval_ms=5), port=port)
    admits = authority or Authority(None, insecure_no_auth=True)
    part = GrpcPart(section, admits, {POOL: stores_of(behind)}, POOL)
    await part.start()
    try:
        yield part
    finally:
        await part.stop()


def stores_of(behind: StoreFactory) -> PoolStores:
    """A pool of one shard."""

    async def the_only_one(_: str) -> int:
        return 0

    return PoolStores(behind.worker(), behind.reporter(), the_only_one, lambda _: behind.worker())


class GatewayFactory:
    """The stores of another factory, but workers come through a gateway."""

    def __init__(self, behind: StoreFactory, target: str) -> None:
        self._behind = behind
        self._access = GatewayAccess(target=target)

    def leader(self) -> InspectableLeader:
        """A leader's store."""
        return self._behind.leader()

    def worker(self) -> GrpcWorkerStore:
        """A worker's store."""
        return GrpcWorkerStore(self._access)

    def reporter(self) -> ReporterStore:
        """The store of whoever reports for many workers."""
        return self._behind.reporter()

    def submitter(self, *, length_max: int = 100_000, bytes_max: int = 2**30) -> SubmitterStore:
        """A submitter's store with these bounds."""
        return self._behind.submitter(length_max=length_max, bytes_max=bytes_max)
