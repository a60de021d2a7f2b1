"""`nexus-sched worker module:app`: imports an application and serves its tasks."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import print_json
from nexus_sched.cli.stores import wanted_shards
from nexus_sched.config.load import DEFAULT_ORIGIN
from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import pairs_of, resources_of
from nexus_sched.units import MS_PER_S

if TYPE_CHECKING:
    from nexus_sched.config.schema import TracingSection, WorkerSection
    from nexus_sched.tracing.sink import SpanSink
    from nexus_sched.worker import App

NOTHING: list[str] = []  # never changed


def worker(
    application: str,
    /,
    *,
    slots: Annotated[str | None, Parameter(help="Tasks to run at once; one for each processor by default.")] = None,
    worker_class: Annotated[str, Parameter(name="--class", help="Kind of machine, such as c5.large.")] = "",
    labels: Annotated[
        list[str], Parameter(help="What tasks may require of it, name=value; may be repeated.", show_default=False)
    ] = NOTHING,
    taints: Annotated[
        list[str],
        Parameter(help="Only tasks that tolerate it are taken, such as spot; may be repeated.", show_default=False),
    ] = NOTHING,
    resources: Annotated[
        list[str],
        Parameter(
            help="What it has for its tasks, such as gpu=1,memory=8GiB; may be repeated.",
            show_default=False,
        ),
    ] = NOTHING,
    name: Annotated[
        str | None, Parameter(name=["--id", "--name"], help="Unique in the pool; made of host and process by default.")
    ] = None,
    gateway: Annotated[
        str | None,
        Parameter(help="Work through the gateway at host:port, instead of `worker.gateway`.", show_default=False),
    ] = None,
    flags: ConfigFlags = NO_FLAGS,
) -> int:
    """Run tasks with the functions of an application until SIGTERM or Ctrl-C.

    The first signal lets running tasks finish, the second stops at once.

    Parameters
    ----------
    application
        Where the App is: module:name, found from the working directory.
    """
    from nexus_sched.worker import serve

    loaded = flags.load_with(("--slots", "worker.slots", slots), ("--gateway", "worker.gateway", gateway))
    config = loaded.config
    app = load_application(application)
    code = asyncio.run(
        serve(
            app,
            url=config.redis.url,
            pool=config.pool.name if config.pools or loaded.origins["pool.name"] != DEFAULT_ORIGIN else None,
            shard=config.pool.shard,
            shards=wanted_shards(config, config.pool.name),
            worker_id=name,
            slots=config.worker.slots,
            worker_class=worker_class,
            labels=read_labels(labels),
            taints=[taint.strip() for text in taints for taint in text.split(",")],
            resources=resources_of(",".join(resources)) if resources else None,
            alone=config.worker.alone,
            drain_timeout_s=config.worker.drain_timeout_ms / MS_PER_S,
            result_ttl_s=max(1, config.queue.result_ttl_ms // MS_PER_S),
            heartbeat_s=config.worker.heartbeat_ms / MS_PER_S,
            log_level=config.logging.level,
            log_as_json=config.logging.format == "json",
            gateway=config.worker.gateway or None,
            gateway_files=gateway_files(config.worker),
            tracing=span_sink(config.tracing),
        )
    )
    if flags.json:
        print_json({"stopped": True, "unfinished": code != 0})
    return code


def span_sink(section: TracingSection) -> SpanSink | None:
    """Where spans go, if anywhere. Raises `ConfigInvalid` if the extra `otel` is not installed."""
    if not section.endpoint:
        return None
    from nexus_sched.tracing.sink import SpanSink, read_headers

    return SpanSink(section.endpoint, "nexus-sched-worker", read_headers(section.headers_file))


def gateway_files(section: WorkerSection) -> dict[str, str | None]:
    """What proves to a gateway who this worker is."""
    return {
        "ca_file": section.gateway_ca_file,
        "certificate_file": section.certificate_file,
        "key_file": section.key_file,
        "token_file": section.token_file,
    }


def load_application(place: str) -> App:
    """The App at `module:name`. Raises `InvalidInput` with what to do if there is none."""
    from nexus_sched.worker import App

    module_name, _, attribute = place.partition(":")
    if not module_name or not attribute:
        raise InvalidInput(f"{place!r} names no application: write module:name, such as tasks:app")
    if "" not in sys.path:
        sys.path.insert(0, "")  # like python -m: an application in the working directory is found
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; what it imports is not
        raise InvalidInput(f"there is no module {module_name!r}; it is searched from the working directory") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise InvalidInput(f"{place!r} is {what}, not a nexus_sched.App")
    return found


def read_labels(texts: list[str]) -> dict[str, str]:
    """`["gpu=1", "zone=a,rack=7"]` as a mapping. Raises `InvalidInput` for anything without a name."""
    return pairs_of(",".join(texts), "a label") if texts else {}
