"""Whether a server may hold tasks. Pure: facts in, checks out. What a server does not tell is said, not guessed."""

from __future__ import annotations

from collections.abc import Iterator

from nexus_sched.checkup.check import Check, fail, ok, warn
from nexus_sched.model.examination import ServerFacts

VERSION_MIN = {"redis": (7, 0), "valkey": (7, 2)}  # the first with functions
POLICY_SAFE = "noeviction"
ROUND_TRIP_MS_MAX = 5.0  # a turn takes one; beyond it decisions wait for the network
CLOCK_OFFSET_MS_MAX = 1_000.0  # only what people read depends on clocks
MEMORY_SHARE_MAX = 0.8
CLIENTS_SHARE_MAX = 0.8

LEVELS = {
    "always": "strict: a power cut loses nothing that was acknowledged",
    "everysec": "relaxed: a power cut may lose what was acknowledged in the last second",
    "no": "none: a power cut may lose what was acknowledged in the last half minute",
}


def check_server(facts: ServerFacts) -> list[Check]:
    """All checks of a server, in the order in which a reader should mend them."""
    return [
        _version(facts),
        _functions(facts),
        _role(facts),
        _cluster(facts),
        _policy(facts),
        *_durability(facts),
        _memory(facts),
        _clients(facts),
        _latency(facts),
        _clock(facts),
    ]


def _version(facts: ServerFacts) -> Check:
    text = ".".join(map(str, facts.version))
    lowest = VERSION_MIN[facts.product]
    if facts.version < lowest:
        return fail("server", f"{facts.product} {text} has no functions", "use Redis 7.0 or Valkey 7.2, or newer")
    return ok("server", f"{facts.product} {text}")


def _functions(facts: ServerFacts) -> Check:
    match facts.library:
        case "current":
            return ok("functions", "the function library is this version's")
        case "missing":
            fix = "whoever connects first loads it; or run `nexus-sched doctor --fix`"
            return warn("functions", "the function library is not loaded", fix, "library")
        case "other":
            fix = "start a scheduler of this version, which replaces it; or run `nexus-sched doctor --fix`"
            return warn("functions", "the function library is another version's", fix, "library")
    fix = "grant FUNCTION LIST, or load the library by hand"
    return warn("functions", "the server does not say which functions it has", fix)


def _role(facts: ServerFacts) -> Check:
    if facts.role == "slave":
        return fail("role", "this server is a replica and takes no writes", "point `redis.url` at the primary")
    if facts.role is None:
        return warn("role", "the server does not say whether it is a primary", "grant INFO")
    count = facts.replicas or 0
    return ok("role", f"primary with {count} replica{'' if count == 1 else 's'}")


def _cluster(facts: ServerFacts) -> Check:
    if facts.cluster:
        fix = "the server of `redis.url` must own the shard's slot: all keys of a shard share one hash tag"
        return warn("cluster", "the server is a node of a cluster", fix)
    return ok("cluster", "no cluster" if facts.cluster is False else "the server does not say; taken to be none")


def _policy(facts: ServerFacts) -> Check:
    if facts.memory_policy is None:
        return warn("eviction", "the server does not tell its maxmemory-policy", f"make sure that it is {POLICY_SAFE}")
    if facts.memory_policy == POLICY_SAFE:
        return ok("eviction", f"maxmemory-policy is {POLICY_SAFE}")
    sentence = f"maxmemory-policy is {facts.memory_policy}, so tasks can be evicted"
    fix = f"CONFIG SET maxmemory-policy {POLICY_SAFE}, and put it into the server's configuration"
    return fail("eviction", sentence, fix) if facts.memory_max_bytes else warn("eviction", sentence, fix)


def _durability(facts: ServerFacts) -> Iterator[Check]:
    fix = "CONFIG SET appendonly yes and CONFIG SET appendfsync always, and put both into the server's configuration"
    if facts.append_only is None:
        yield warn("durability", "the server does not say whether it keeps an append-only file", fix)
    elif not facts.append_only:
        yield warn("durability", "no append-only file: a restart loses everything since the last snapshot", fix)
    elif facts.append_fsync is None:
        yield warn("durability", "an append-only file, but the server does not tell its appendfsync", fix)
    elif facts.append_fsync == "always":
        yield ok("durability", LEVELS["always"])
    else:
        yield warn("durability", LEVELS.get(facts.append_fsync, facts.append_fsync), fix)
    if facts.write_failed:
        yield fail("disk", "the server could not write its files the last time", "look at its log and its disk")


def _memory(facts: ServerFacts) -> Check:
    used, most = facts.memory_used_bytes, facts.memory_max_bytes
    if used is None or most is None:
        return warn("memory", "the server does not tell its memory", "grant INFO")
    used_mib = used / 2**20
    if most == 0:
        fix = "set maxmemory below what the machine has: a full server refuses submissions, a killed one loses work"
        return warn("memory", f"{used_mib:.0f} MiB used, and no bound is set", fix)
    sentence = f"{used_mib:.0f} of {most / 2**20:.0f} MiB used"
    if used > MEMORY_SHARE_MAX * most:
        return warn("memory", sentence, "raise maxmemory, lower `queue.bytes_max`, or purge dead letters")
    return ok("memory", sentence)


def _clients(facts: ServerFacts) -> Check:
    if facts.clients is None or not facts.clients_max:
        return ok("clients", "the server does not tell its connections")
    sentence = f"{facts.clients} of {facts.clients_max} connections"
    if facts.clients > CLIENTS_SHARE_MAX * facts.clients_max:
        return warn("clients", sentence, "raise maxclients; a worker takes two connections, a scheduler three")
    return ok("clients", sentence)


def _latency(facts: ServerFacts) -> Check:
    sentence = f"{facts.round_trip_ms:.2f} ms for a round trip"
    if facts.round_trip_ms > ROUND_TRIP_MS_MAX:
        return warn("latency", sentence, "run the scheduler closer to the server; each turn waits for one")
    return ok("latency", sentence)


def _clock(facts: ServerFacts) -> Check:
    offset_ms = facts.clock_offset_ms
    sentence = f"the server's clock is {abs(offset_ms):.0f} ms {'ahead' if offset_ms > 0 else 'behind'}"
    if abs(offset_ms) > CLOCK_OFFSET_MS_MAX:
        fix = "run a time service on both; estimates and deadlines are counted from the server's clock"
        return warn("clock", sentence, fix)
    return ok("clock", sentence)
