"""A ranking finds the lowest rank whatever has risen, fallen, gone or come back in between."""

from __future__ import annotations

from random import Random

import pytest

from nexus_sched.core.backlog.ranking import ENTRIES_MIN, Rank, Ranking


class Member:
    """Something with a rank, or without one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.value: float | None = None

    def rank(self) -> Rank | None:
        return None if self.value is None else (self.value, self.number)


@pytest.mark.parametrize("seed", range(50))
def test_first_is_always_the_lowest(seed: int):
    print("seed", seed)
    random = Random(seed)
    ranking: Ranking[Member] = Ranking(Member.rank)
    members: list[Member] = []
    for number in range(400):
        act = random.random()
        if act < 0.1 or not members:
            member = Member(number)
            member.value = random.choice((None, random.uniform(0.0, 10.0)))
            members.append(member)
            ranking.join(member)
        elif act < 0.15:
            member = members.pop(random.randrange(len(members)))
            member.value = None
            ranking.leave(member)
        else:
            member = random.choice(members)
            former = member.value
            member.value = random.choice((None, random.uniform(0.0, 10.0), random.uniform(0.0, 10.0)))
            if former is None or (member.value is not None and member.value < former):
                ranking.changed(member)
        ranked = [(rank, each) for each in members if (rank := each.rank()) is not None]
        expected = min(ranked, key=lambda pair: pair[0])[1] if ranked else None
        assert ranking.first() is expected
        assert len(ranking._heap) <= 2 * (ENTRIES_MIN + 2 * len(members))
