from __future__ import annotations

import random

import pytest

from nexus_sched.adapters.memory.stream import EntryId, EntryStream, format_entry_id, parse_entry_id


def test_stream_ids_grow_although_the_clock_goes_back() -> None:
    stream = EntryStream()
    assert [stream.append([], at_ms) for at_ms in (5, 5, 3, 6)] == [(5, 0), (5, 1), (5, 2), (6, 0)]
    assert EntryStream().append([], 0) == (0, 1)


def test_stream_explicit_id_must_be_above_all_that_ever_were() -> None:
    stream = EntryStream()
    stream.insert((3, 1), [])
    stream.remove((3, 1))
    with pytest.raises(ValueError, match="3-1 is not above 3-1"):
        stream.insert((3, 1), [])


def test_entry_ids_are_read_and_written() -> None:
    assert parse_entry_id("5") == (5, 0)
    assert parse_entry_id("5-3") == (5, 3)
    assert format_entry_id((5, 3)) == "5-3"


def test_stream_random_operations_agree_with_a_plain_list() -> None:
    pick = random.Random(7)
    stream, plain = EntryStream(), dict[EntryId, list[bytes]]()
    for step in range(5_000):
        choice = pick.random()
        if choice < 0.5 or not plain:
            entry_id = stream.append([b"%d" % step], step)
            plain[entry_id] = [b"%d" % step]
        elif choice < 0.9:
            victim = pick.choice(list(plain)[:20])
            assert stream.remove(victim)
            assert not stream.remove(victim)
            del plain[victim]
        elif choice < 0.92:
            lowest = pick.choice(list(plain)[:5])
            stream.trim(lowest)
            plain = {entry_id: fields for entry_id, fields in plain.items() if entry_id >= lowest}
        else:
            after, count = (pick.randrange(step), 0), pick.randint(1, 10)
            assert stream.after(after, count) == [(i, f) for i, f in plain.items() if i > after][:count]
        assert len(stream) == len(plain)
