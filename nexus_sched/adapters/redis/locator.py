"""Where the server of a shard is now: fixed, as Sentinels say, or by the slot in a cluster.

Laws of this file:
  1. Nothing is believed for longer than a connection lasts: whoever dials asks anew. What a server says about another
     place (`MOVED`) counts for the next dial only.
  2. A connection is given out only once the other side has proven to be the right one: Sentinels name a primary before
     it knows that it is one, so it is asked for its role.
  3. Whom to ask goes round: one that does not answer, or answered wrongly, is not asked first the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import structs

from nexus_sched.adapters.redis.address import Address
from nexus_sched.adapters.redis.connection import Connection, dial, pack
from nexus_sched.adapters.redis.replies import Redirection, Reply
from nexus_sched.adapters.redis.topology import CLUSTER, SENTINEL, Topology, parse_topology, slot_of
from nexus_sched.errors import StoreClusterDown, StoreError, StoreNotReplicated, StoreReadOnly, StoreUnreachable

ASK_TIMEOUT_S = 0.5  # for one Sentinel or node to answer; there are others
RECHECK_S = 3.0  # Sentinels tell each other every two seconds

OnMessage = Callable[[Reply], None] | None


class Locator(Protocol):
    """Finds the server and connects to it."""

    clustered: bool

    async def connect(self, on_message: OnMessage = None) -> Connection:
        """One attempt. Raises `OSError` or a `StoreError`; whoever calls tries again."""

    def is_elsewhere(self, error: StoreError) -> bool:
        """Whether a refusal means that another server has to be looked for; takes the hint in it, if there is one."""

    async def connect_to(self, redirection: Redirection) -> Connection:
        """To the node that a redirection names, for one command."""


class Fixed:
    """One server that is where it is."""

    clustered = False

    def __init__(self, address: Address) -> None:
        self._address = address

    def __str__(self) -> str:
        return str(self._address)

    async def connect(self, on_message: OnMessage = None) -> Connection:
        """One attempt."""
        return await dial(self._address, on_message)

    def is_elsewhere(self, error: StoreError) -> bool:  # noqa: ARG002 - one shape for all
        """Never."""
        return False

    async def connect_to(self, redirection: Redirection) -> Connection:
        """There is no other place."""
        raise redirection


class SentinelLocator:
    """The primary of a service, as the Sentinel with the newest configuration names it.

    A primary that died and was started again believes that it is one for up to 10 s, and a Sentinel that has not heard
    of the promotion yet names it; what is written there is lost. So all Sentinels are asked, and once more when the
    news has had the time to go round; a primary that waits for its replicas in vain is doubted as well.
    """

    clustered = False

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._looking: set[asyncio.Task[None]] = set()

    def __str__(self) -> str:
        return str(self._topology)

    async def connect(self, on_message: OnMessage = None) -> Connection:
        """To the primary. Raises `StoreUnreachable` if no Sentinel knows one, or it is none (yet)."""
        address = await self._primary()
        connection = await dial(address)
        try:
            role = await connection.send(pack((b"ROLE",)), ASK_TIMEOUT_S)
            if not isinstance(role, list) or role[0] != b"master":
                said = str(role) if isinstance(role, StoreError) else f"it is a {role[0].decode()}"
                raise StoreUnreachable(f"{self}: {address} is not the primary: {said}")
        except BaseException:
            connection.lose("it is not the primary")
            raise
        connection.on_message = on_message
        asyncio.get_running_loop().call_later(RECHECK_S, self._look_again, connection, address)
        return connection

    def is_elsewhere(self, error: StoreError) -> bool:
        """A primary that refuses writes has been demoted, and one that lost its replicas perhaps as well."""
        return isinstance(error, StoreReadOnly | StoreNotReplicated)

    async def connect_to(self, redirection: Redirection) -> Connection:
        """Sentinels watch servers without a cluster."""
        raise redirection

    def _look_again(self, connection: Connection, address: Address) -> None:
        if not connection.lost:
            task = asyncio.ensure_future(self._recheck(connection, address))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _recheck(self, connection: Connection, address: Address) -> None:
        with contextlib.suppress(StoreError):  # Sentinels that are away say nothing against it
            if await self._primary() != address:
                connection.lose("another server is the primary")

    async def count_answering(self) -> tuple[int, int]:
        """How many Sentinels name a primary, and how many there are."""
        sentinels, service = self._topology.seeds, self._topology.service
        answers = await asyncio.gather(*(_named(sentinel, service) for sentinel in sentinels))
        return sum(isinstance(answer, Named) for answer in answers), len(sentinels)

    async def _primary(self) -> Address:
        """As most Sentinels will name it: of all answers the one with the newest configuration."""
        sentinels, service = self._topology.seeds, self._topology.service
        answers = await asyncio.gather(*(_named(sentinel, service) for sentinel in sentinels))
        named = [answer for answer in answers if isinstance(answer, Named)]
        if not named:
            raise StoreUnreachable(f"{self}: no Sentinel names a primary: {answers[-1]}")
        newest = max(named, key=lambda answer: answer.epoch)
        return structs.replace(self._topology.server, host=newest.host, port=newest.port)


class ClusterLocator:
    """The primary of the slot that a shard's hash tag falls into. `shared` by all connections of a shard."""

    clustered = True

    def __init__(self, topology: Topology, key: bytes) -> None:
        self._topology = topology
        self._slot = slot_of(key)
        self._nodes = list(topology.seeds)  # whom to ask, first the one that answered last
        self._hint: Address | None = None

    def __str__(self) -> str:
        return f"{self._topology} (slot {self._slot})"

    async def connect(self, on_message: OnMessage = None) -> Connection:
        """To the owner of the slot. Raises `StoreUnreachable` if no node answers, `StoreClusterDown` without owner."""
        hint, self._hint = self._hint, None
        return await dial(hint or await self._owner(), on_message)

    def is_elsewhere(self, error: StoreError) -> bool:
        """The slot has another owner, or its owner is no primary, or one without its cluster."""
        if isinstance(error, Redirection) and not error.once:
            self._hint = self._address(error.host, error.port)
            return True
        return isinstance(error, StoreReadOnly | StoreClusterDown)

    async def connect_to(self, redirection: Redirection) -> Connection:
        """To the node that will own the slot, with leave for one command."""
        connection = await dial(self._address(redirection.host, redirection.port))
        connection.send(pack((b"ASKING",)), ASK_TIMEOUT_S)
        return connection

    def _address(self, host: str, port: int) -> Address:
        return structs.replace(self._topology.server, host=host or self._nodes[0].host, port=port)

    async def _owner(self) -> Address:
        why: StoreError = StoreUnreachable(f"{self}: no node answers")
        for node in tuple(self._nodes):
            try:
                (ranges,) = await _ask(node, (b"CLUSTER", b"SLOTS"))
                owners = [row for row in ranges if row[0] <= self._slot <= row[1]]
                self._learn(node, ranges)
                if owners:
                    host, port = owners[0][2][:2]
                    return self._address((host or b"").decode() or node.host, port)
                why = StoreClusterDown(f"{self}: no node owns the slot")
            except (OSError, TimeoutError, StoreError) as error:
                why = error if isinstance(error, StoreError) else StoreUnreachable(f"{self}: {node}: {error}")
            self._nodes.append(self._nodes.pop(0))
        raise why

    def _learn(self, answered: Address, ranges: list[list[Reply]]) -> None:
        """Nodes that the configuration does not name can be asked as well; those it names stay."""
        named = [node for row in ranges for node in row[2:]]
        found = [
            structs.replace(answered, host=(host or b"").decode() or answered.host, port=port)
            for host, port, *_ in named
        ]
        others = [node for node in (*found, *self._topology.seeds) if node != answered]
        self._nodes = list(dict.fromkeys((answered, *others)))


class Named(NamedTuple):
    """A primary, as one Sentinel has it."""

    epoch: int  # of its configuration: each promotion gets a higher one
    host: str
    port: int


async def _named(sentinel: Address, service: str) -> Named | str:
    """What a Sentinel says, or in words why it does not.

    It has the epoch of a promotion as soon as that has happened, and until the other replicas follow gives the new
    address to this one question only.
    """
    try:
        flat, place = await _ask(
            sentinel, (b"SENTINEL", b"MASTER", service), (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
        )
        if not place:
            return f"{sentinel} does not know the service {service}"
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return Named(int(fields[b"config-epoch"]), place[0].decode(), int(place[1]))
    except (OSError, TimeoutError, StoreError) as error:
        return str(error) or f"{sentinel} does not answer"


def locator_of(url: str, key: bytes) -> Locator:
    """Who finds the server of `key`. Raises `InvalidInput` for a URL that means nothing."""
    topology = parse_topology(url)
    if topology.kind == SENTINEL:
        return SentinelLocator(topology)
    return ClusterLocator(topology, key) if topology.kind == CLUSTER else Fixed(topology.server)


async def _ask(address: Address, *commands: tuple[str | bytes, ...]) -> list[Reply]:
    """Some questions on a connection of its own. Raises the first `StoreError` among the answers."""
    async with asyncio.timeout(ASK_TIMEOUT_S):
        connection = await dial(address)
    try:
        replies = [await connection.send(pack(command), ASK_TIMEOUT_S) for command in commands]
    finally:
        connection.lose("asked")
    for reply in replies:
        if isinstance(reply, StoreError):
            raise reply
    return replies
