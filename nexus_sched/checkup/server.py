"""Whether a server may hold tasks. Pure: facts in, checks out. What a server does not tell is said, not guessed."""

from __future__ import annotations

from collections.abc import Iterator

from nexus_sched.checkup.check import Check, fail, ok, warn
from nexus_sched.model.durability import REPLICATED, STRICT
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


def check_server(facts: ServerFacts, level: str = STRICT) -> list[Check]:
    """All checks of a server that promises a durability level, in the order in which a reader should mend them."""
    return [
        _version(facts),
        _functions(facts),
        _role(facts),
        *_sentinels(facts),
        _cluster(facts),
        _policy(facts),
        *_evicted(facts),
        *_durability(facts, level),
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
        case "newer":
            return ok("functions", "the function library is a later version's, which serves this one as well")
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
    if not facts.cluster:
        return ok("cluster", "no cluster" if facts.cluster is False else "the server does not say; taken to be none")
    if not facts.clustered_url:
        fix = "write `redis.url` as redis+cluster://host:port,host:port, so that the owner of the shard's slot is found"
        return fail("cluster", "the server is a node of a cluster, and the URL is that of one server", fix)
    if facts.cluster_state == "fail":
        fix = "see CLUSTER NODES; a slot without a primary gets its replica promoted, or must be given to somebody"
        return fail("cluster", "the cluster cannot serve all its slots", fix)
    if facts.slots_moving:
        fix = "let the move end: calls of a shard whose slot moves key by key wait until it is over"
        return warn("cluster", "slots of this node are on their way", fix)
    return ok("cluster", "a node of a cluster that serves all its slots")


def _sentinels(facts: ServerFacts) -> Iterator[Check]:
    if not facts.sentinels:
        return
    sentence = f"{facts.sentinels_answering} of {facts.sentinels} Sentinels name a primary"
    if 2 * facts.sentinels_answering <= facts.sentinels:
        yield fail("sentinels", sentence, "start them again: without a majority nobody is promoted")
    elif facts.sentinels_answering < facts.sentinels:
        yield warn("sentinels", sentence, "see why the others do not answer")
    else:
        yield ok("sentinels", sentence)


def _policy(facts: ServerFacts) -> Check:
    if facts.memory_policy is None:
        return warn("eviction", "the server does not tell its maxmemory-policy", f"make sure that it is {POLICY_SAFE}")
    if facts.memory_policy == POLICY_SAFE:
        return ok("eviction", f"maxmemory-policy is {POLICY_SAFE}")
    sentence = f"maxmemory-policy is {facts.memory_policy}, so tasks can be evicted"
    fix = f"CONFIG SET maxmemory-policy {POLICY_SAFE}, and put it into the server's configuration"
    return fail("eviction", sentence, fix) if facts.memory_max_bytes else warn("eviction", sentence, fix)


def _evicted(facts: ServerFacts) -> Iterator[Check]:
    if facts.evicted_keys:
        sentence = f"{facts.evicted_keys} keys were evicted since the server was started"
        yield warn("evictions", sentence, "`nexus-sched fsck` says what they left of tasks; `--repair` mends it")


def _durability(facts: ServerFacts, level: str) -> Iterator[Check]:
    files = "CONFIG SET appendonly yes and CONFIG SET appendfsync always, and put both into the server's configuration"
    fix = f"{files}; or choose another `redis.durability`"
    if level == REPLICATED:
        yield _replicated(facts)
    if facts.append_only is None:
        yield warn("durability", "the server does not say whether it keeps an append-only file", fix)
    elif not facts.append_only:
        yield warn("durability", "no append-only file: a restart loses everything since the last snapshot", fix)
    elif level == STRICT and facts.append_fsync is None:
        yield warn("durability", "an append-only file, but the server does not tell its appendfsync", fix)
    elif level == STRICT and facts.append_fsync != "always":
        sentence = LEVELS.get(facts.append_fsync or "", facts.append_fsync)
        yield warn("durability", f"strict is promised, but the server is {sentence}", fix)
    elif level != REPLICATED:
        yield ok("durability", LEVELS.get(facts.append_fsync or "", f"appendfsync is {facts.append_fsync}"))
    if facts.write_failed:
        yield fail("disk", "the server could not write its files the last time", "look at its log and its disk")


def _replicated(facts: ServerFacts) -> Check:
    if facts.replicas is None:
        return warn("durability", "replicated is promised; the server does not tell its replicas", "grant INFO")
    if facts.replicas == 0:
        fix = "connect a replica, or choose another `redis.durability`"
        return fail("durability", "replicated is promised, and there is no replica: nothing is acknowledged", fix)
    if facts.replicas == 1:
        fix = "connect a second one: while the only one is away, and after it was promoted, nothing is acknowledged"
        return warn("durability", "replicated, by a single replica", fix)
    return ok("durability", f"replicated: each acknowledgement waits for one of {facts.replicas} replicas")


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
