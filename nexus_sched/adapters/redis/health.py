"""What a leader asks its server again and again: whether it still keeps what was promised, and whose writes it holds.

Law: what a server refuses to tell (managed services forbid CONFIG) is no alarm. Cost: one INFO and the text
of the functions, 0.1 ms of the server each.
"""

from __future__ import annotations

from nexus_sched.adapters.redis.library import ShardFunctions
from nexus_sched.adapters.redis.resp import RespClient
from nexus_sched.adapters.redis.suitability import eviction_problem, parse_info, setting
from nexus_sched.model.durability import REPLICATED, STRICT, Durability
from nexus_sched.model.store_state import History, StoreHealth

LOSSES = {
    "everysec": "a power cut may lose what was acknowledged in the last second",
    "no": "a power cut may lose what was acknowledged in the last half minute",
}


class ServerWatch:
    """The server of one shard, seen by whoever leads it."""

    def __init__(self, client: RespClient, functions: ShardFunctions, durability: Durability) -> None:
        self._client = client
        self._functions = functions
        self._durability = durability
        self._evicted: int | None = None  # keys, when this was first looked at

    async def look(self) -> StoreHealth:
        """How it is now. Raises `StoreError`."""
        await self._functions.install(replace=True)
        facts = parse_info(await self._client.call("INFO"))
        fsync = await setting(self._client, "appendfsync")
        problem = await eviction_problem(self._client, facts)
        alarms = [problem] if problem else []
        evicted = int(facts.get("evicted_keys") or 0)
        if self._evicted is None or evicted < self._evicted:
            self._evicted = evicted
        if evicted > self._evicted:
            alarms.append(f"{evicted - self._evicted} keys were evicted; `nexus-sched fsck` says what they have left")
        if "err" in (facts.get("aof_last_write_status"), facts.get("rdb_last_bgsave_status")):
            alarms.append("the server could not write its files the last time; look at its log and its disk")
        return StoreHealth(self._durability.level, durability_gap(self._durability.level, facts, fsync), tuple(alarms))

    async def history(self) -> History:
        """Whose writes it holds, and whose it held when the shard was led before. The former is noted there."""
        facts = parse_info(await self._client.call("INFO", "replication"))
        now = facts.get("master_replid", "")
        was = await self._functions.call(b"nx_history", now)
        return History(was.decode(), now)


def durability_gap(level: str, facts: dict[str, str], fsync: str) -> str:
    """Why a server does not keep a level, empty if it does or does not say."""
    if level == REPLICATED:
        return "no replica is connected: nothing is acknowledged" if facts.get("connected_slaves") == "0" else ""
    if facts.get("aof_enabled") == "0":
        return "no append-only file is kept: a restart loses everything since the last snapshot"
    if level == STRICT and fsync not in ("", "always"):
        return f"appendfsync is {fsync}: {LOSSES.get(fsync, 'a power cut may lose what was acknowledged')}"
    return ""
