"""What differs between two configurations, and what of it takes effect at once."""

from __future__ import annotations

from pathlib import Path

from nexus_sched.config.changes import Change, changes_between, with_hot_keys
from nexus_sched.config.describe import sections
from nexus_sched.config.load import load
from nexus_sched.config.schema import Config


def configured(file: Path, text: str) -> Config:
    file.write_text(text)
    return load(file).config


def test_nothing_differs_from_itself(tmp_path: Path):
    config = configured(
        tmp_path / "nexus.toml", '[[limits]]\nscope = "type"\nconcurrency = 1\n[queue]\nlength_max = 5\n'
    )
    assert changes_between(config, config) == []
    assert with_hot_keys(config, config) == config


def test_changes_are_told_as_one_would_write_them(tmp_path: Path):
    file = tmp_path / "nexus.toml"
    before = configured(file, '[redis]\nurl = "redis://:one@host:1/0"\n[scheduler.weights]\nwait = 3.0\n')
    after = configured(
        file,
        '[redis]\nurl = "redis://:two@host:2/0"\n[scheduler]\nbackoff = "2s"\n[tenants.weights]\nacme = 2\n'
        '[[limits]]\nscope = "type"\nconcurrency = 1\n',
    )
    limit = '[{ scope = "type", name = "*", rate_per_s = 0.0, burst = 1.0, concurrency = 1 }]'
    assert changes_between(before, after) == [
        Change("redis.url", '"redis://:***@host:1/0"', '"redis://:***@host:2/0"', False),
        Change("scheduler.backoff", '"1s"', '"2s"', True),
        Change("scheduler.weights.wait", "3.0", "8.0", True),
        Change("tenants.weights", "{}", '{ "acme" = 2.0 }', True),
        Change("limits", "[]", limit, True),
    ]
    merged = with_hot_keys(before, after)
    assert (merged.scheduler.backoff_ms, merged.weights.wait, merged.limits) == (2_000, 8.0, after.limits)
    assert merged.redis == before.redis


def test_password_that_alone_has_changed_is_a_change_without_being_told(tmp_path: Path):
    file = tmp_path / "nexus.toml"
    before, after = (configured(file, f'[redis]\nurl = "redis://:{word}@host/0"\n') for word in ("one", "two"))
    (change,) = changes_between(before, after)
    assert not change.hot
    assert "one" not in str(change)
    assert "two" not in str(change)


def test_section_with_tables_is_hot_or_cold_as_a_whole():
    for section in sections():
        if section.repeated:
            assert len({key.hot for key in section.keys}) == 1, section.name
