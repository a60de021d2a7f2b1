"""`nexus-sched journal export`: keep a shard's journal in a file, for spans that the store no longer holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli import exit_codes
from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.cli.stores import leader_store, one_shard
from nexus_sched.config.schema import Config
from nexus_sched.errors import InvalidInput
from nexus_sched.replay import journal_file
from nexus_sched.replay.span import Kept, kept_in_store
from nexus_sched.runtime.ports import EXPORT_TURNS_MAX
from nexus_sched.units import MS_PER_S

Hold = Annotated[int | None, Parameter(name="--hold", show_default=False)]


def export(path: Path, /, *, hold: Hold = None, flags: ConfigFlags = NO_FLAGS) -> int:
    """Write a shard's journal into a file, or add what is new since the last time.

    Run it now and then, more often than the store forgets: every minute is enough for most shards. A busy one
    forgets after 100,000 events. The file holds what was submitted and when, but no payloads.

    Parameters
    ----------
    path
        The file; made if it is missing.
    hold
        Keep what follows in the store until the next export, at most so many turns (100,000). 0 ends that.
    """
    config = flags.read()
    kept = asyncio.run(_kept(config))
    added = journal_file.append(path, kept)
    whole = journal_file.read(path)
    if hold is not None:
        asyncio.run(_hold(config, whole.turns[-1].seq, hold))
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


async def _hold(config: Config, seq: int, turns_max: int) -> None:
    if not 0 <= turns_max <= EXPORT_TURNS_MAX:
        raise InvalidInput(f"--hold is {turns_max}; 0 to {EXPORT_TURNS_MAX} turns can be held")
    store = leader_store(config)
    try:
        await store.open()
        await store.hold_journal(seq, turns_max)
    finally:
        await store.close()
