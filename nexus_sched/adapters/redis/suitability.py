"""Whether a server may hold tasks: recent enough, and configured so that it never throws keys away."""

from __future__ import annotations

from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.errors import StoreError, StoreUnsuitable

VERSION_MIN = (7, 0)  # functions
POLICY_SAFE = "noeviction"


async def check_suitable(client: RespClient) -> None:
    """Raises `StoreUnsuitable`, with the remedy in its message, if tasks could be lost on this server."""
    facts = parse_info(await client.call("INFO", "server")) | parse_info(await client.call("INFO", "memory"))
    if "redis_version" in facts and _version(facts["redis_version"]) < VERSION_MIN:
        raise StoreUnsuitable(
            f"{client.locator}: server version {facts['redis_version']} has no functions; "
            "use Redis 7.0 or Valkey 7.2, or newer"
        )
    problem = await eviction_problem(client, facts)
    if problem:
        raise StoreUnsuitable(f"{client.locator}: {problem}")


async def eviction_problem(client: RespClient, facts: dict[str, str]) -> str:
    """Why this server could throw tasks away, with the remedy; empty if it could not. `facts` are those of INFO."""
    bound = facts.get("maxmemory") or await setting(client, "maxmemory")
    policy = facts.get("maxmemory_policy") or await setting(client, "maxmemory-policy")
    if bound in ("", "0") or policy in ("", POLICY_SAFE):
        return ""
    return (
        f"maxmemory is set and maxmemory-policy is {policy}, so tasks could be evicted; "
        f"run CONFIG SET maxmemory-policy {POLICY_SAFE}, and put it into the server's configuration"
    )


async def setting(client: RespClient, name: str) -> str:
    """One setting, empty if the server does not tell (managed services forbid CONFIG)."""
    try:
        pair = await client.call("CONFIG", "GET", name)
    except StoreError:
        return ""
    return pair[1].decode() if pair else ""


def parse_info(blob: bytes) -> dict[str, str]:
    """The facts in an answer of INFO."""
    lines = (line.partition(":") for line in blob.decode(errors="replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
