"""Mends what is safe to mend: each repair is one call, which checks again, on the spot, what it mends."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_sched.inspection.findings import COMMAND, Finding
from nexus_sched.inspection.store import RepairStore
from nexus_sched.model.command import CancelTask, encode_command

ROUNDS_MAX = 10_000  # of a repair that works off a hundred entries a call


async def repair_all(store: RepairStore, findings: Sequence[Finding]) -> list[tuple[Finding, str]]:
    """Repair what can be; each finding with what became of it: `repaired`, `asked`, `changed meanwhile` or `left`."""
    return [(finding, await _repair(store, finding)) for finding in findings]


async def _repair(store: RepairStore, finding: Finding) -> str:
    if not finding.repair:
        return "left"
    name, *arguments = finding.repair
    if name == COMMAND:
        await store.command(encode_command(CancelTask(arguments[0])))
        return "asked"
    changed = await store.mend(name, *arguments)
    if name == "inbox":
        for _ in range(ROUNDS_MAX if changed else 0):
            if not await store.mend(name, *arguments):
                break
    return "repaired" if changed else "changed meanwhile"
