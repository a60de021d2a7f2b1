"""`nexus-sched journal export`: keep a shard's journal in a file, for spans that the store no longer holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.stores import leader_store, one_shard
from nexus_sched.config.schema import Config
from nexus_sched.replay import journal_file
from nexus_sched.replay.span import Kept, kept_in_store
from nexus_sched.units import MS_PER_S


def export(path: Path, /, *, flags: ConfigFlags = NO_FLAGS) -> int:
    """Write a shard's journal into a file, or add what is new since the last time.

    Run it now and then, more often than the store forgets: every minute is enough for most shards. A busy one
    forgets after 100,000 events. The file holds what was submitted and when, but no payloads.

    Parameters
    ----------
    path
        The file; made if it is missing.
    """
    kept = asyncio.run(_kept(flags.read()))
    added = journal_file.append(path, kept)
    whole = journal_file.read(path)
    from_ms, until_ms = whole.span_ms
    if flags.json:
        body = {"file": str(path), "added": added, "turns": len(whole.turns), "from_ms": from_ms, "until_ms": until_ms}
        print_json(body)
    else:
        note(f"{path}: {added} turns added, {(until_ms - from_ms) / MS_PER_S:.0f} s in {len(whole.turns)} turns")
    return exit_codes.OK


async def _kept(config: Config) -> Kept:
    store = leader_store(config, await one_shard(config))
    try:
        await store.open()
        return await kept_in_store(store)
    finally:
        await store.close()
