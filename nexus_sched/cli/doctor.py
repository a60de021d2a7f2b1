"""`nexus-sched doctor`: checks the configuration, the server and the shard, and says in words what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec import structs

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import console, note, print_json
from nexus_sched.errors import ConfigInvalid, StoreError

if TYPE_CHECKING:
    from nexus_sched.checkup import Check
    from nexus_sched.config.schema import Config

Fix = Annotated[bool, Parameter(name="--fix", help="Do what is safe to do, such as loading functions.")]
MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(*, fix: Fix = False, flags: ConfigFlags = NO_FLAGS) -> int:
    """Check the configuration, the server and all shards, and say what to do about what is not as it should be.

    Exits with code 8 if there are only warnings, with 1 if something fails, 3 if the configuration cannot be used, 4
    if the server cannot be reached.
    """
    from nexus_sched.checkup import Level

    checks, code = asyncio.run(_examine(flags, fix=fix))
    if flags.json:
        print_json({"checks": checks, "healthy": all(check.level is Level.OK for check in checks)})
    else:
        _print(checks)
    if code != exit_codes.OK:
        return code
    levels = {check.level for check in checks}
    if Level.FAIL in levels:
        return exit_codes.FAILED
    return exit_codes.DEGRADED if Level.WARN in levels else exit_codes.OK


async def _examine(flags: ConfigFlags, *, fix: bool) -> tuple[list[Check], int]:
    """The checks, as far as they came, and the exit code if they could not come to the end."""
    from nexus_sched.checkup.check import fail, ok

    try:
        config = flags.read()
    except ConfigInvalid as error:
        remedy = "`nexus-sched config explain KEY` says what a key takes"
        return [fail("configuration", problem, remedy) for problem in error.problems], exit_codes.BAD_CONFIGURATION
    sound = ok("configuration", "it can be used")
    try:
        return [sound, *await _examine_store(config, fix=fix)], exit_codes.OK
    except StoreError as error:
        remedy = (
            "is the server running, and is `redis.url` right? `nexus-sched config show --origin` says where it is from"
        )
        return [sound, fail("server", str(error), remedy)], error.exit_code


async def _examine_store(config: Config, *, fix: bool) -> list[Check]:
    from nexus_sched.adapters.redis.examination import examine_server, load_library
    from nexus_sched.checkup import check_server
    from nexus_sched.cli.stores import inspector_store

    store = inspector_store(config)
    try:
        checks = check_server(await examine_server(store.client), config.redis.durability)
        if fix and any(check.mend == "library" for check in checks):
            await load_library(store.client)
            note("Loaded the function library.")
            checks = check_server(await examine_server(store.client), config.redis.durability)
        return checks + await _examine_shards(config)
    finally:
        await store.close()


async def _examine_shards(config: Config) -> list[Check]:
    """The checks of the pool as a whole, then those of each shard; all are watched at once, for it takes a while."""
    from nexus_sched.adapters.redis.examination import examine_shard
    from nexus_sched.checkup import PoolFacts, ShardBounds, check_pool, check_shard
    from nexus_sched.cli.stores import inspector_store, shards_of, wanted_shards

    numbers = await shards_of(config)
    watch_ms = max(config.scheduler.lease_ms // 2, config.worker.heartbeat_ms * 3 // 2)
    stores = [inspector_store(config, number) for number in numbers]
    try:
        facts = await asyncio.gather(*(examine_shard(store, watch_ms) for store in stores))
    finally:
        for store in stores:
            await store.close()
    wanted = None if config.pool.shard is not None else wanted_shards(config, config.pool.name)
    settled = len(numbers) if len(numbers) > 1 or facts[0].exists else 0
    checks = check_pool(PoolFacts(settled=settled, wanted=wanted, owners=tuple(each.owner for each in facts)))
    length_max, bytes_max = -(-config.queue.length_max // len(numbers)), -(-config.queue.bytes_max // len(numbers))
    bounds = ShardBounds(length_max, bytes_max, config.redis.durability)
    for number, each in zip(numbers, facts, strict=True):
        found = check_shard(each, bounds)
        if len(numbers) > 1:
            found = [structs.replace(check, sentence=f"shard {number}: {check.sentence}") for check in found]
        checks += found
    return checks


def _print(checks: list[Check]) -> None:
    out = console()
    for check in checks:
        out.print(f"{MARKS[check.level.value]}  {check.name:<14}{check.sentence}", markup=False, soft_wrap=True)
        if check.fix:
            out.print(f"{'':<20}-> {check.fix}", markup=False, soft_wrap=True)
