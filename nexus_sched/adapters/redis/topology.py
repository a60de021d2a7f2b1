"""What a URL says about the servers: one of them, one that Sentinels know, or the node of a cluster that owns a slot.

    redis://[user:password@]host[:port][/database]                        and rediss://, unix:// (see `address`)
    redis+sentinel://[user:password@]host[:port],host.../service[/database]
    redis+cluster://[user:password@]host[:port],host...

`rediss+sentinel://` and `rediss+cluster://` speak TLS with everybody. User and password are those of the servers;
Sentinels with their own are told by `?sentinel_username=...&sentinel_password=...`.
Law: as in `address`, credentials are in no message, no repr, no log line.
"""

from __future__ import annotations

from binascii import crc_hqx
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from nexus_sched.adapters.redis.address import PORT_DEFAULT, Address, parse_address
from nexus_sched.errors import InvalidInput

SENTINEL_PORT_DEFAULT = 26_379
SLOTS = 16_384
SENTINEL, CLUSTER = "sentinel", "cluster"
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


class Topology(Struct, frozen=True):
    """Whom to ask, and how to log in where they point. `kind` is empty for one server, which is `seeds[0]` itself."""

    kind: str
    seeds: tuple[Address, ...]  # Sentinels, or nodes of the cluster
    server: Address  # login, database and TLS of the servers; without a host unless `kind` is empty
    service: str = ""  # the name under which the Sentinels know the primary

    def __str__(self) -> str:
        if not self.kind:
            return str(self.server)
        scheme = f"{'rediss' if self.server.tls else 'redis'}+{self.kind}"
        hosts = ",".join(
            f"[{seed.host}]:{seed.port}" if ":" in seed.host else f"{seed.host}:{seed.port}" for seed in self.seeds
        )
        return f"{scheme}://{hosts}" + (f"/{self.service}/{self.server.database}" if self.service else "")

    def __repr__(self) -> str:
        return f"Topology({str(self)!r})"


def parse_topology(url: str) -> Topology:
    """The servers that a URL means. Raises `InvalidInput`, whose message repeats nothing that may be a password."""
    scheme, separator, rest = url.partition("://")
    family, _, kind = scheme.partition("+")
    if not separator or not kind:
        server = parse_address(url)
        return Topology("", (server,), server)
    if family not in ("redis", "rediss") or kind not in (SENTINEL, CLUSTER):
        raise InvalidInput(
            f"the store's URL has the scheme {scheme[:40]!r}; known are redis, rediss, unix, redis+sentinel, "
            "rediss+sentinel, redis+cluster and rediss+cluster"
        )
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    service, _, database = path.strip("/").partition("/")
    if kind == SENTINEL and not service:
        raise InvalidInput("a redis+sentinel:// URL names the service: redis+sentinel://host:26379/mymaster")
    if kind == CLUSTER and path.strip("/"):
        raise InvalidInput("a redis+cluster:// URL has no path: a cluster has one database")
    options = dict(parse_qsl(query, keep_blank_values=True))
    own_login = [options.pop(name, "") for name in _SENTINEL_OPTIONS]
    tail = f"?{urlencode(options)}" if options else ""
    port = SENTINEL_PORT_DEFAULT if kind == SENTINEL else PORT_DEFAULT
    names = hosts.split(",")
    servers = [parse_address(f"{family}://{login}{at}{name}/{database}{tail}") for name in names]
    ports = [server.port if _has_port(name) else port for name, server in zip(names, servers, strict=True)]
    first = servers[0]
    user, password = own_login if kind == SENTINEL else (first.username, first.password)
    seeds = tuple(
        Address(host=server.host, port=port, tls=first.tls, username=user, password=password)
        for server, port in zip(servers, ports, strict=True)
    )
    server = Address(database=first.database, tls=first.tls, username=first.username, password=first.password)
    return Topology(kind, seeds, server, service)


def slot_of(key: bytes) -> int:
    """The slot of a key in a cluster: CRC16 (XMODEM) of its hash tag, or of all of it without one."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    tag = key[start + 1 : end] if end > start + 1 else key
    return crc_hqx(tag, 0) % SLOTS


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
