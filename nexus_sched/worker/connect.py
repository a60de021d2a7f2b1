"""Which adapter a worker's URL or gateway means. The one module of this room that knows adapters."""

from __future__ import annotations

from nexus_sched.runtime.ports import WorkerStore


def connect(url: str, pool: str, shard: int, *, result_ttl_s: int) -> WorkerStore:
    """The store behind `url`: one server, Sentinels or a cluster. Raises `InvalidInput` for anything else."""
    from nexus_sched.adapters.redis.worker import RedisWorkerStore  # here: loaded only by those who connect

    return RedisWorkerStore(url, pool, shard, result_ttl_s=result_ttl_s)


def connect_gateway(
    target: str,
    *,
    ca_file: str | None = None,
    certificate_file: str | None = None,
    key_file: str | None = None,
    token_file: str | None = None,
) -> WorkerStore:
    """The store behind a gateway at `host:port`. Raises `InvalidInput` for what is no such address."""
    from nexus_sched.adapters.grpc import GatewayAccess, GrpcWorkerStore  # here: loaded only by those who need it

    return GrpcWorkerStore(
        GatewayAccess(
            target=target,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
            token_file=token_file,
        )
    )
