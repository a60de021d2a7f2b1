"""Who counts as being there, by what is announced and by nothing else."""

from __future__ import annotations

from nexus_sched.model.replica import Announcement, encode_announcement
from nexus_sched.sharding.roll import FORGOTTEN_S, HOLD_S, HOLD_S_MAX, SILENT_S, Roll

NOBODY_IS_DEAD = {"is_dead": lambda _: False}


def said(**beats: int) -> dict[str, bytes]:
    return {name: encode_announcement(Announcement(beat=beat, serves={"p": 3})) for name, beat in beats.items()}


def test_roll_replica_that_is_silent_is_not_there_until_it_speaks_again():
    roll = Roll("me", **NOBODY_IS_DEAD)
    assert roll.read(said(me=1, other=1), 0.0)
    assert not roll.read(said(me=2, other=1), SILENT_S - 0.1)
    assert set(roll.there) == {"me", "other"}
    assert roll.read(said(me=3, other=1), SILENT_S)
    assert set(roll.there) == {"me"}
    assert roll.read(said(me=4, other=2), SILENT_S + 0.5)
    assert set(roll.there) == {"me", "other"}


def test_roll_replica_that_is_proven_dead_is_not_there_at_once():
    roll = Roll("me", is_dead=lambda name: name == "other")
    roll.read(said(me=1, other=1), 0.0)
    assert set(roll.there) == {"me"}


def test_roll_we_are_there_however_slow_we_are():
    roll = Roll("me", **NOBODY_IS_DEAD)
    roll.read(said(me=1), 0.0)
    roll.read(said(me=1), 100.0)
    assert set(roll.there) == {"me"}


def test_roll_says_nothing_of_whom_it_cannot_read():
    roll = Roll("me", **NOBODY_IS_DEAD)
    roll.read({**said(me=1), "strange": b"\xc1", "stranger": b""}, 0.0)
    assert set(roll.there) == {"me"}


def test_roll_other_announcements_of_the_same_are_no_change():
    roll = Roll("me", **NOBODY_IS_DEAD)
    assert roll.read(said(me=1, other=1), 0.0)
    assert not roll.read(said(me=2, other=2), 0.5)
    more = {**said(me=3), "other": encode_announcement(Announcement(beat=3, serves={"p": 3, "q": 1}))}
    assert roll.read(more, 1.0)


def test_roll_nothing_is_moved_while_replicas_come_and_go():
    roll = Roll("me", **NOBODY_IS_DEAD)
    roll.read(said(me=1, other=1), 0.0)
    assert not roll.may_move(HOLD_S - 0.1)
    assert roll.may_move(HOLD_S)
    now_s, waits = 10.0, []
    for turn in range(8):
        roll.read(said(me=2), now_s)  # gone
        roll.read(said(me=2, other=turn + 2), now_s + 1)  # and there again
        waits.append(next(s for s in range(100) if roll.may_move(now_s + 1 + s)))
        now_s += 5.0
    assert waits == [2, 4, 8, 16, 30, 30, 30, 30]
    assert waits[-1] == HOLD_S_MAX
    assert roll.may_move(now_s + 200.0)


def test_roll_names_those_whose_announcement_may_be_removed():
    roll = Roll("me", **NOBODY_IS_DEAD)
    roll.read(said(me=1, other=1, third=1), 0.0)
    roll.read(said(me=1, other=1, third=2), FORGOTTEN_S)
    assert roll.forgotten(FORGOTTEN_S) == ["other"]
