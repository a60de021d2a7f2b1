"""What waits on one level of priority with equal needs: lanes, ordered by tenant and key.

Between tenants the one with the least virtual time goes first (`core.fairness`), among equals the one whose first task
has the lowest key; within a tenant the lane whose first task has the lowest key.
"""

from __future__ import annotations

from nexus_sched.core.backlog.lane import Lane
from nexus_sched.core.backlog.ranking import Rank, Ranking
from nexus_sched.core.fairness import Fairness, Tenant
from nexus_sched.model.terms import Needs


class Group:
    """Tasks of equal needs, over all levels: what cannot be placed for one of them cannot for any."""

    __slots__ = ("blocked", "needs", "queues")

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.blocked = False  # no open worker is feasible, for the rest of this turn
        self.queues = 0  # levels that have lanes


class Party:
    """The lanes of one tenant in one queue."""

    __slots__ = ("lanes", "queue", "tenant")

    def __init__(self, tenant: Tenant, queue: Queue) -> None:
        self.tenant = tenant
        self.queue = queue
        self.lanes: Ranking[Lane] = Ranking(Lane.rank)


class Queue:
    """One level of one group."""

    __slots__ = ("_fairness", "_parties", "_ranking", "filled", "group", "lanes", "priority", "single")

    def __init__(self, priority: int, group: Group, fairness: Fairness) -> None:
        self.priority = priority
        self.group = group
        self.lanes = 0
        self.filled = 0  # lanes that hold tasks
        self.single: Lane | None = None  # the lane, if there is one only
        self._fairness = fairness
        self._parties: dict[str, Party] = {}
        self._ranking: Ranking[Party] = Ranking(self._rank)

    def _rank(self, party: Party) -> Rank | None:
        lane = party.lanes.first()
        rank = None if lane is None else lane.rank()
        return None if rank is None else (self._fairness.virtual_ms(party.tenant), *rank)

    def party(self, name: str) -> Party:
        """The place of a tenant, a new one if it has none."""
        party = self._parties.get(name)
        if party is None:
            party = self._parties[name] = Party(self._fairness.tenant(name), self)
        return party

    def join(self, lane: Lane) -> None:
        """A new lane."""
        party = lane.party
        self.lanes += 1
        party.tenant.lanes += 1
        party.lanes.join(lane)
        if len(party.lanes) == 1:
            self._ranking.join(party)
        self._find_single()

    def leave(self, lane: Lane) -> None:
        """An empty lane is no more."""
        party = lane.party
        self.lanes -= 1
        party.tenant.lanes -= 1
        party.lanes.leave(lane)
        if not len(party.lanes):
            self._ranking.leave(party)
            del self._parties[party.tenant.name]
        self._find_single()

    def _find_single(self) -> None:
        parties = self._parties.values()
        self.single = None
        if len(parties) == 1:
            (party,) = parties
            self.single = party.lanes.only

    def changed(self, lane: Lane) -> None:
        """A lane has another first task, or may be chosen again."""
        if self.single is None:
            lane.party.lanes.changed(lane)
            self._ranking.changed(lane.party)

    def first(self) -> Lane | None:
        """The lane whose turn it is, `None` if none may be chosen."""
        party = self._ranking.first()
        return None if party is None else party.lanes.first()

    def turn(self) -> tuple[Rank, Lane] | None:
        """The same with its rank: virtual time of the tenant, key, ticket."""
        lane = self.single or self.first()
        rank = None if lane is None else lane.rank()
        if lane is None or rank is None:
            return None
        return (self._fairness.virtual_ms(lane.party.tenant), *rank), lane
