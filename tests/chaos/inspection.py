"""What the product's own `nexus-sched fsck` says of the shard: asked as an operator would ask, in a process."""

from __future__ import annotations

import asyncio
import os
import sys

import msgspec
from msgspec import Struct

from tests.chaos.stage import POOL, Stage

TIMEOUT_S = 60.0
ANSWERED = (0, 9)  # exit codes: whole, or findings


class Found(Struct):
    """One finding."""

    code: str
    sentence: str


class Answer(Struct):
    """What is read of the answer."""

    findings: list[Found]


async def fsck(stage: Stage) -> list[str]:
    """All findings, in words, of the version that led last; a command that fails is one."""
    command = ("fsck", "--redis-url", stage.server.url, "--set", f"pool.name={POOL}", "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nexus_sched", *command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=stage.directory,  # what lies in the current folder would be run instead
        env={**os.environ, "PYTHONPATH": str(stage.tree_of_leader())},
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer, words = await process.communicate()
    except TimeoutError:
        return [f"fsck does not end within {TIMEOUT_S:g} s"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in ANSWERED:
        return [f"fsck ended with {process.returncode}: {words.decode(errors='replace')[-1_000:]}"]
    return [f"{found.code}: {found.sentence}" for found in msgspec.json.decode(answer, type=Answer).findings]
