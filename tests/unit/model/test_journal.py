"""What is written today is read tomorrow: every event and effect comes back, shorter arrays of older versions too."""

from __future__ import annotations

import typing

import msgspec
import pytest

from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model import effects, events
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.eta import Eta
from nexus_sched.model.journal import FORMAT, Turn, decode_turn, encode_turn
from nexus_sched.model.outcome import Outcome, Reason
from nexus_sched.model.question import AskEta, AskWhy, AskWorker, AskWorkers
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Retry
from nexus_sched.testing.builders import task

EVENTS = [
    events.EpochBegan(7, "owner", EngineSettings(ema_alpha=0.3)),
    events.TaskSubmitted(task("t1", hint_ms=0.1, retry=Retry.ANY), "1-0"),
    events.TaskReclaimed("t1", 1, "w1", Reason.WORKER_LOST, True, "2-0"),
    events.TaskRefused("q:5", "3-0", "t1", Reason.TOO_LARGE, "why"),
    events.TaskFinished("t1", 1, "w1", Outcome.TIMED_OUT, 0.1 + 0.2, 1e-300, 3),
    events.TaskVanished("t1", 1, "w1"),
    events.CancelRequested("t1"),
    events.WorkerJoined("w1", 1, 4, "gpu", {"zone": "a"}, ("spot",), {"gpu": 2.0}),
    events.WorkerReported("w1", 1, True, 1, 2, 0.5, None),
    events.WorkerLeft("w1", 1, False),
    events.WorkerSuspected("w1"),
    events.WorkerTrusted("w1"),
    events.WorkerCordoned("w1", True, "new disk", "ops"),
    events.WorkerResumed("w1", "disk is in", "ops"),
    events.WorkerTripped("w1", "odd results", "ops"),
    events.QuestionAsked("a1", AskEta("t1")),
    events.QuestionAsked("a2", AskWhy("t1", "w1")),
    events.QuestionAsked("a3", AskWorker("w1")),
    events.QuestionAsked("a4", AskWorkers("w1", 100)),
    events.WorkerEvicted("w1", "smoke", "ops"),
    events.TasksPaused("kind", "bug", "ops"),
    events.TasksResumed("kind", "fixed", "ops"),
    events.TaskBoosted("t1", 9, "they wait", "ops"),
    events.TaskReassigned("t1", "w2", "data is there", "ops"),
    events.RetryRequested("t1", "fixed", "ops"),
    events.StoreChanged("1f", "2e", 100, 95),
    events.ReloadRequested("new limits", "ops"),
    events.ModeChanged("shadow"),
    events.SettingsChanged(EngineSettings(wait_weight=3.0), "ops"),
    events.PredictorOverran(1234.5),
    events.PredictorChosen("boosting", shadow=True),
    events.EstimatePinned("kind", 12.5, 1.0, 1_000, "known to be quick", "ops"),
    events.EstimateUnpinned("kind"),
    events.OverrideAdded("type", "kind", "pin", "w1", 0, 1_000, "data is there", "ops"),
    events.OverrideRemoved("task", "t1", "avoid", "w1", "the disk is new", "ops"),
]
EFFECTS = [
    effects.Dispatch(
        SchedulingDecision("t1", "kind", "w1", 1, "predictive", 0.1, 0.2, 1 / 3, 4.0, "type"), "q:5", "1-0"
    ),
    effects.DeadLetter("t1", Reason.MALFORMED, 0, "", "why", "q:5", "1-0"),
    effects.CancelQueued("t1", "q:5", "1-0"),
    effects.Retract("t1", 1, "w1", "2-0"),
    effects.CancelRunning("t1", 1, "w1", "2-1"),
    effects.Discard("i:w1", "2-1"),
    effects.Estimated("t1", Eta(5, 1.0, 2.0, 3.0, 11.0, 12.5, 14.0, 0.8, "near", 0.97)),
    effects.Answered("a1", b"{}"),
    effects.Noticed("drift", "drift: kind no longer runs as predicted"),
]
TURN = Turn(FORMAT, 9, 7, 1_700_000_000_123_456_789, EVENTS, EFFECTS, {"q:5": "1-0", "res": "5-5"}, 2**64 - 1)


def test_every_event_and_effect_is_told_here():
    assert {type(each) for each in EVENTS} == set(typing.get_args(events.AnyEvent))
    assert {type(each) for each in EFFECTS} == set(typing.get_args(effects.AnyEffect))


def test_turn_comes_back_to_the_bit():
    assert decode_turn(encode_turn(TURN)) == TURN
    assert encode_turn(decode_turn(encode_turn(TURN))) == encode_turn(TURN)


def test_tags_are_unique():
    for union in (events.AnyEvent, effects.AnyEffect):
        tags = [each.__struct_config__.tag for each in typing.get_args(union)]
        assert len(set(tags)) == len(tags)


def test_shorter_array_of_an_older_version_is_read_with_defaults():
    parts = msgspec.msgpack.decode(encode_turn(TURN))
    del parts[-1]  # no digest
    parts[4][8] = parts[4][8][:6]  # a report without cpu and memory
    parts[4][0][3] = []  # settings without any field
    turn = decode_turn(msgspec.msgpack.encode(parts))
    assert turn.digest is None
    assert turn.events[8] == events.WorkerReported("w1", 1, True, 1, 2)
    assert turn.events[0] == events.EpochBegan(7, "owner", EngineSettings())


@pytest.mark.parametrize("cut", [0, 1, 10, 200])
def test_cut_turn_is_refused(cut: int):
    with pytest.raises(SnapshotUnreadable, match="cannot be read"):
        decode_turn(encode_turn(TURN)[:cut])


@pytest.mark.parametrize("blob", [b"\xc1", b"\x91" * 5_000, b"\x80", b"\xc0", encode_turn(TURN) + b"\x00"])
def test_garbage_is_refused(blob: bytes):
    with pytest.raises(SnapshotUnreadable):
        decode_turn(blob)


def test_other_format_and_unknown_tag_are_refused():
    with pytest.raises(SnapshotUnreadable, match="format 2"):
        decode_turn(encode_turn(msgspec.structs.replace(TURN, format=2)))
    parts = msgspec.msgpack.decode(encode_turn(TURN))
    parts[4][5][0] = "evaporated"
    with pytest.raises(SnapshotUnreadable, match="evaporated"):
        decode_turn(msgspec.msgpack.encode(parts))
