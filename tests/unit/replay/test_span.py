"""What is kept of a journal, in memory and in a file: spans, gaps and damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.errors import InvalidInput, StateLost
from nexus_sched.model.journal import Turn
from nexus_sched.replay import journal_file
from nexus_sched.replay.span import Kept, last
from nexus_sched.runtime.recovery import compress, encode_checkpoint
from nexus_sched.sim.policies import PREDICTORS
from nexus_sched.units import NS_PER_MS
from tests.unit.sim.recorded import recorded_run
from tests.unit.sim.workloads import workload


@pytest.fixture(scope="module")
def turns() -> list[Turn]:
    return recorded_run(workload([10.0 * number for number in range(50)], [15.0] * 50, slowness=(1.0, 1.0)))[0]


def test_span_begins_with_the_state_that_the_turns_before_it_made(turns: list[Turn]):
    span = last(Kept(None, turns), 200, PREDICTORS)
    until_ms = turns[-1].at_ns // NS_PER_MS
    assert span.turns[0].seq == span.before.seq + 1 > 1
    assert span.turns[0].at_ns // NS_PER_MS >= until_ms - 200
    assert (until_ms - 200) * NS_PER_MS > turns[span.before.seq - 1].at_ns
    assert [worker.name for worker in span.before.workers] == ["w0", "w1"]
    assert span.available_ms == (turns[0].at_ns // NS_PER_MS, until_ms)


def test_more_than_is_kept_is_all_of_it(turns: list[Turn]):
    for since_ms in (None, 10**9):
        span = last(Kept(None, turns), since_ms, PREDICTORS)
        assert (span.before.seq, len(span.turns)) == (0, len(turns))


def test_span_behind_a_checkpoint_is_that_without_it(turns: list[Turn]):
    engine = Engine(PREDICTORS)
    for turn in turns[:30]:
        engine.handle(turn.events, turn.at_ns)
    kept = Kept(compress(encode_checkpoint(engine, {}, turns[29].at_ns)), turns[30:])
    assert last(kept, None, PREDICTORS).before.seq == 30
    assert last(kept, 100, PREDICTORS).before.seq == last(Kept(None, turns), 100, PREDICTORS).before.seq


@pytest.mark.parametrize("since_ms", [None, 100])
def test_gap_is_refused(turns: list[Turn], since_ms: int | None):
    with pytest.raises(StateLost, match="turn 21 is missing, 22 is there"):
        last(Kept(None, turns[:20] + turns[21:]), since_ms, PREDICTORS)


def test_file_holds_what_was_appended_once(tmp_path: Path, turns: list[Turn]):
    path = tmp_path / "kept" / "journal.gz"
    assert journal_file.append(path, Kept(b"checkpoint", turns[:20])) == 20
    assert journal_file.append(path, Kept(b"a later one", turns[10:30])) == 10
    assert journal_file.append(path, Kept(None, turns[10:30])) == 0
    assert journal_file.append(path, Kept(None, turns[30:])) == len(turns) - 30
    assert journal_file.read(path) == Kept(b"checkpoint", turns)


def test_file_refuses_a_gap_and_stays_as_it_was(tmp_path: Path, turns: list[Turn]):
    path = tmp_path / "journal.gz"
    journal_file.append(path, Kept(None, turns[:20]))
    with pytest.raises(StateLost, match="ends with turn 20, the store begins with 23: begin a new file"):
        journal_file.append(path, Kept(None, turns[22:]))
    assert journal_file.read(path).turns == turns[:20]


def test_what_is_no_exported_journal_is_told(tmp_path: Path, turns: list[Turn]):
    path = tmp_path / "journal.gz"
    journal_file.append(path, Kept(None, turns[:5]))
    whole = path.read_bytes()
    records = gzip.decompress(whole)
    cases = {
        "cannot be read": whole[: len(whole) // 2],
        "ends in the middle of a record": gzip.compress(records[:-3]),
        "there is no turn in it": gzip.compress(b""),
        "this is no exported journal": gzip.compress(b"X\0\0\0\1x"),
        "No such file": None,
    }
    for words, content in cases.items():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(InvalidInput, match=words):
            journal_file.read(path)
