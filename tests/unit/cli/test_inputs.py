"""What people type is checked before anything connects."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import msgspec
import pytest

from nexus_sched.cli import exit_codes
from nexus_sched.cli.demands import DemandFlags
from nexus_sched.cli.main import main
from nexus_sched.cli.status import facts_of_predictors, find_faults
from nexus_sched.cli.submit import read_payload
from nexus_sched.cli.worker import load_application, read_labels
from nexus_sched.errors import InvalidInput
from nexus_sched.model.events import EstimatePinned
from nexus_sched.model.frame import Frame, Spread

NOW_MS = 1_000_000


def frame(**changes: object) -> Frame:
    quiet = Frame(
        pool="default",
        shard=0,
        owner="host:1",
        epoch=1,
        seq=1,
        at_ms=NOW_MS,
        mode="predictive",
        predictor="ema",
        breaker="closed",
        queued=0,
        in_flight=0,
        queued_predicted_ms=0.0,
        workers_live=1,
        workers_accepting=1,
        counters={},
        decision_us=Spread(),
        turn_us=Spread(),
        predictions=0,
        predictions_within_25=None,
        workers=[],
    )
    return msgspec.structs.replace(quiet, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at_ms": NOW_MS - 60_000}, "no scheduler has written for 60 s"),
        ({"workers_accepting": 0}, "no worker takes tasks"),
        ({"breaker": "open"}, "the breaker of prediction is open"),
        ({"alarms": ["maxmemory-policy is allkeys-lru"]}, "maxmemory-policy is allkeys-lru"),
    ],
)
def test_status_finds_what_is_degraded_and_only_that(changes, words):
    (finding,) = find_faults(frame(**changes), NOW_MS)
    assert words in finding
    assert find_faults(frame(), NOW_MS) == []


def test_status_tells_of_a_candidate_and_of_overrides_only_if_there_are_any():
    assert facts_of_predictors(frame()) == []
    pin = EstimatePinned("kind", None, 2.0, NOW_MS + 1, "why", "ada")
    facts = dict(facts_of_predictors(frame(shadow="boosted", scores={"boosted": (8, 6)}, pins=[pin])))
    assert facts["shadow"] == "boosted, 75% of 8 within 25 %"
    assert facts["overrides"].startswith("1 in force")
    assert dict(facts_of_predictors(frame(shadow="boosted"))) == {"shadow": "boosted, nothing predicted yet"}


def test_payload_comes_from_text_file_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "payload.json"
    file.write_text(' {"a": 1}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1]\n")))
    assert read_payload("") == b""
    assert read_payload("[1, 2]") == b"[1, 2]"
    assert read_payload(f"@{file}") == b'{"a": 1}'
    assert read_payload("-") == b"[1]"


@pytest.mark.parametrize("text", ["{", "nan", "[1,]", "'a'", "[" * 10_000, '"\udcff"'])
def test_payload_that_is_not_json_is_refused(text: str):
    with pytest.raises(InvalidInput, match="is not JSON"):
        read_payload(text)


def test_labels_are_pairs():
    assert read_labels(["gpu=1", "zone=a,rack=7=8"]) == {"gpu": "1", "zone": "a", "rack": "7=8"}
    assert read_labels([]) == {}
    for text in ("gpu", "=1", ""):
        with pytest.raises(InvalidInput, match="name=value"):
            read_labels([text])
    with pytest.raises(InvalidInput, match="twice"):
        read_labels(["zone=a", "zone=b"])


def test_demands_are_options_of_a_submission():
    flags = DemandFlags(requires=["gpu", "zone in a,b"], tolerates=["a, b", "c"], resources=["gpu=1", "memory=8GiB"])
    assert flags.options() == {
        "requires": ["gpu", "zone in a,b"],
        "tolerates": ["a", "b", "c"],
        "resources": "gpu=1,memory=8GiB",
    }
    rest = DemandFlags(tenant="t", deadline="5m", strict_deadline=True, idempotent=True, retry="any", backoff="0s")
    assert rest.options() == {
        "tenant": "t",
        "deadline": "5m",
        "strict_deadline": True,
        "idempotent": True,
        "retry": "any",
        "backoff": "0s",
    }
    assert DemandFlags().options() == {}


@pytest.mark.parametrize(
    "flags", [["--requires", "a b"], ["--strict-deadline"], ["--resources", "gpu"], ["--delay", "soon"]]
)
def test_demand_that_makes_no_sense_is_refused_before_anything_connects(
    flags: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main(["submit", "kind", "--redis-url", "redis://127.0.0.1:1/0", *flags]) == exit_codes.USAGE
    assert "cannot connect" not in capsys.readouterr().err


def test_application_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "some_tasks_of_mine.py").write_text("from nexus_sched import App\napp = App()\nother = 1\n")
    (tmp_path / "some_broken_tasks.py").write_text("import a_module_that_is_missing\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert type(load_application("some_tasks_of_mine:app")).__name__ == "App"
    with pytest.raises(InvalidInput, match="is a int, not a"):
        load_application("some_tasks_of_mine:other")
    with pytest.raises(InvalidInput, match="is nothing, not a"):
        load_application("some_tasks_of_mine:absent")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        load_application("some_broken_tasks:app")
