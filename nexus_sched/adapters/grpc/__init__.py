"""A worker's side of a shard through a gateway."""

from nexus_sched.adapters.grpc.access import GatewayAccess
from nexus_sched.adapters.grpc.worker import GrpcWorkerStore

__all__ = ["GatewayAccess", "GrpcWorkerStore"]
