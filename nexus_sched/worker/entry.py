"""The entry of a worker process: `await serve(app, url=...)` runs until it is told to stop.

The first SIGTERM or SIGINT drains, the second stops at once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from nexus_sched.model.choices import resources_of
from nexus_sched.tracing.sink import SpanSink
from nexus_sched.worker.app import App
from nexus_sched.worker.connect import connect_gateway, connect_pool
from nexus_sched.worker.log import Log
from nexus_sched.worker.service import Worker
from nexus_sched.worker.settings import DRAIN_TIMEOUT_S_DEFAULT, WorkerSettings, default_slots, default_worker_id
from nexus_sched.worker.spans import ProcessSpans

URL_DEFAULT = "redis://127.0.0.1:6379/0"
POOL_DEFAULT = "default"
RESULT_TTL_S_DEFAULT = 3_600


async def serve(
    app: App,
    *,
    url: str = URL_DEFAULT,
    pool: str | None = None,
    shard: int | None = None,
    shards: int | None = None,
    worker_id: str | None = None,
    slots: int | None = None,
    worker_class: str = "",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
    resources: str | Mapping[str, str | float] | None = None,
    alone: bool = False,
    drain_timeout_s: float = DRAIN_TIMEOUT_S_DEFAULT,
    result_ttl_s: int = RESULT_TTL_S_DEFAULT,
    heartbeat_s: float = 1.0,
    log_level: str = "info",
    log_as_json: bool = False,
    gateway: str | None = None,
    gateway_files: Mapping[str, str | None] | None = None,
    tracing: SpanSink | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> int:
    """Serve `app` until SIGTERM or SIGINT; gives the exit code.

    Parameters
    ----------
    pool, shard, shards
        Its pool, by default "default", of a gateway its own; the shard to join, by default the former one or that with
        the fewest slots; how many there are, if it is known.
    worker_id
        Unique in the pool; by default `<host>-<process>-<random>`. Under its old name it gets back what it had.
    slots
        Tasks that run at the same time; one per processor if not given.
    worker_class, labels, taints
        Its kind of machine, what tasks may require of it, and what they must tolerate.
    resources
        What it has to give for all its tasks together: `{"gpu": 2, "memory": "64GiB"}` or `"gpu=2,memory=64GiB"`.
    alone
        It is the only worker on its machine, so that what else takes processors there makes its slots count less.
    drain_timeout_s, result_ttl_s, heartbeat_s
        How long running tasks may finish after the first signal, results and records of ended tasks are kept, and the
        pause between two signs of life may be; the scheduler suspects a worker that is silent for longer.
    log_level, log_as_json
        `"info"` tells of readiness and draining, `"warning"` only of trouble; as JSON or logfmt lines.
    gateway, gateway_files
        Work through the gateway at `host:port`, not `url`; the files are those of `adapters.grpc.GatewayAccess`.
    tracing, on_ready
        Where spans of sampled runs go; what is called once with the worker's id when it can be given tasks.

    Gives 0 after a clean drain and 1 if tasks were left unfinished. Raises `InvalidInput`, a `StoreError` that waiting
    cannot cure, and `Fenced` if another process uses the same worker id; each error carries its exit code.
    """
    settings = WorkerSettings(
        worker_id=default_worker_id() if worker_id is None else worker_id,
        slots=default_slots() if slots is None else slots,
        worker_class=worker_class,
        labels=labels or {},
        taints=taints,
        resources=resources_of(resources or {}),
        alone=alone,
        drain_timeout_s=drain_timeout_s,
        heartbeat_s=heartbeat_s,
    )
    through = None if gateway is None else connect_gateway(gateway, pool, **(gateway_files or {}))
    store = through or connect_pool(url, pool or POOL_DEFAULT, shard, result_ttl_s=result_ttl_s, shards=shards)
    spans = None if tracing is None else ProcessSpans(settings.worker_id, tracing)
    worker = Worker(app, store, settings, Log(log_level, settings.worker_id, as_json=log_as_json), spans=spans)
    return await _run(worker, settings.worker_id, on_ready, tracing)


async def _run(worker: Worker, worker_id: str, on_ready: Callable[[str], None] | None, tracing: SpanSink | None) -> int:
    announcing = asyncio.create_task(_announce(worker, worker_id, on_ready))
    with _signals_to(worker):
        try:
            return await worker.run()
        finally:
            announcing.cancel()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)


@contextmanager
def _signals_to(worker: Worker) -> Iterator[None]:
    """The first SIGTERM or SIGINT drains, the second stops at once."""
    loop = asyncio.get_running_loop()
    asked = False

    def on_signal() -> None:
        nonlocal asked
        (worker.stop if asked else worker.drain)()
        asked = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _announce(worker: Worker, worker_id: str, on_ready: Callable[[str], None] | None) -> None:
    await worker.ready.wait()
    if on_ready is not None:
        on_ready(worker_id)
