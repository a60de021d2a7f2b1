"""What decisions depend on: every key reaches the engine, every setting of the engine has a key, and defaults agree."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from nexus_sched.config.describe import Key, keys
from nexus_sched.config.engine import engine_settings
from nexus_sched.config.load import load
from nexus_sched.config.schema import Config
from nexus_sched.errors import ConfigInvalid
from nexus_sched.model.settings import EngineSettings, Limit

OF_THE_PROCESS = ("logging.", "http.")  # sections that take effect at once and decide nothing
HOT = [key for key in keys().values() if key.hot and key.single and not key.path.startswith(OF_THE_PROCESS)]
UNDER_CUSTOM = ("scheduler.weights.balance", "scheduler.weights.fit")
COLD = {"predictor", "shadow_predictor"}  # chosen by a command: `nexus-sched predictor promote`


def other_value(key: Key) -> str:
    """Another valid value than the default, as one would write it."""
    if key.kind == "choice":
        return f'"{next(choice for choice in key.choices if choice != key.default)}"'
    if key.kind == "switch":
        return str(not key.default).lower()
    if key.kind == "table":
        return "{ acme = 2 }"
    assert isinstance(key.default, int | float)
    if key.kind == "number":
        bound = key.lowest if key.lowest != key.default else key.highest
        assert bound is not None
        return str((key.default + bound) / 2)
    value = int(key.default) + 1
    return f'"{value}ms"' if key.kind == "duration" else str(value)


def flat(settings: Struct, before: str = "") -> dict[str, object]:
    fields: dict[str, object] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        fields |= flat(value, f"{before}{name}.") if isinstance(value, Struct) else {f"{before}{name}": value}
    return fields


def line_for(key: Key) -> str:
    """A file that changes this key, valid as a whole."""
    section, _, name = key.path.rpartition(".")
    objective = '[scheduler]\nobjective = "custom"\n' if key.path in UNDER_CUSTOM else ""
    return f"{objective}[{section}]\n{name} = {other_value(key)}\n"


def changed_by(text: str, file: Path) -> set[str]:
    file.write_text(text)
    before, after = flat(EngineSettings()), flat(engine_settings(load(file).config))
    return {name for name, value in after.items() if value != before[name]}


def test_defaults_are_those_of_the_engine():
    assert engine_settings(Config()) == EngineSettings()


@pytest.mark.parametrize("key", HOT, ids=lambda key: key.path)
def test_hot_key_changes_one_setting(key: Key, tmp_path: Path):
    changed = changed_by(line_for(key), tmp_path / "nexus.toml")
    assert len(changed - {"objective"} if key.path in UNDER_CUSTOM else changed) == 1


def test_every_setting_has_a_key(tmp_path: Path):
    reached: set[str] = set(COLD)
    for key in HOT:
        reached |= changed_by(line_for(key), tmp_path / "nexus.toml")
    reached |= changed_by('[[limits]]\nscope = "type"\nconcurrency = 1\n', tmp_path / "nexus.toml")
    assert reached == flat(EngineSettings()).keys()


def test_cold_keys_change_nothing_that_could_be_reloaded(tmp_path: Path):
    text = '[predictor]\nname = "ema"\nshadow = "learned"\n[scheduler]\nlease = "5s"\n[pool]\nname = "other"\n'
    assert changed_by(text, tmp_path / "nexus.toml") == COLD


def test_limits_and_tenants_are_read(tmp_path: Path):
    file = tmp_path / "nexus.toml"
    file.write_text(
        '[[limits]]\nscope = "tenant"\nrate_per_s = 50\nburst = 10\n'
        '[[limits]]\nscope = "key"\nname = "acme@eu"\nconcurrency = 3\n'
        "[tenants.weights]\nbeta = 0.5\nacme = 2\n"
    )
    settings = engine_settings(load(file).config)
    assert settings.limits == (Limit("tenant", "*", 50.0, 10.0, 0), Limit("key", "acme@eu", 0.0, 1.0, 3))
    assert list(settings.tenant_weights.items()) == [("acme", 2.0), ("beta", 0.5)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=EngineSettings) == settings


def test_weights_of_tenants_can_be_text(tmp_path: Path):
    flags = [("--set", "tenants.weights", "acme=2, beta=0.5")]
    assert load(None, {}, flags).config.tenants.weights == {"acme": 2.0, "beta": 0.5}
    environment = {"NEXUS__TENANTS__WEIGHTS": "acme=3", "NEXUS__SCHEDULER__WEIGHTS__NEAR_TIE": "5ms"}
    config = load(None, environment).config
    assert (config.tenants.weights, config.weights.near_tie_ms) == ({"acme": 3.0}, 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[limits]]\nscope = "type"\n', "1: it limits nothing"),
        ('[[limits]]\nscope = "type"\nburst = 2\nconcurrency = 1\n', "1: `burst` means nothing"),
        ('[[limits]]\nscope = "type"\nname = "a b"\nconcurrency = 1\n', "1: `name`: task type"),
        ('[[limits]]\nscope = "tenant"\nname = "a b"\nconcurrency = 1\n', "1: `name`: name"),
        ('[[limits]]\nscope = "worker"\nconcurrency = 1\n', '2: `limits[].scope`: expected one of "key"'),
        ("[[limits]]\nconcurrency = 1\n", "1: `scope` is missing"),
        ('[[limits]]\nscope = "type"\nconcurrency = -1\n', "3: `limits[].concurrency`: expected a whole number"),
        ('[[limits]]\nscope = "key"\nconcurrency = 1\n' * 2, "4: key * has a limit already"),
        ("[tenants.weights]\nacme = 0\n", "1: `tenants.weights`"),
        ("[tenants.weights]\nacme = nan\n", "1: `tenants.weights`"),
        ('[tenants]\nweights = { "a b" = 1 }\n', "2: `weights`: name 'a b'"),
        ("[tenants]\nweights = 5\n", "2: `tenants.weights`"),
        ("[scheduler]\nweights = 5\n", "2: `scheduler.weights` is a table"),
        ("[scheduler.weigths]\nwait = 1\n", "1: unknown key `scheduler.weigths`; did you mean `weights`?"),
        ("[scheduler.weights]\nwiat = 1\n", "2: unknown key `scheduler.weights.wiat`; did you mean `wait`?"),
        ("[scheduler.weights]\nwait = -1\n", "2: `scheduler.weights.wait`: expected a number"),
        ('[scheduler.weights]\nfit = "5ms"\n', "2: `scheduler.weights.fit` counts for nothing while"),
        ('scheduler.objective = "balance"\nscheduler.weights.fit = "5ms"\n', "2: `scheduler.weights.fit` counts"),
        ("[worker_breaker]\npanic_share = 2.0\n", "2: `worker_breaker.panic_share`"),
        ('[worker_breaker]\nopen = "10m"\n', "2: `worker_breaker.open` is"),
        ('[scheduler]\nbackoff = "2m"\n', "2: `scheduler.backoff` is"),
    ],
)
def test_mistake_is_told_with_its_line(text: str, problem: str, tmp_path: Path):
    file = tmp_path / "nexus.toml"
    file.write_text(text)
    with pytest.raises(ConfigInvalid) as raised:
        load(file)
    assert any(f"{file}:{problem}" in each for each in raised.value.problems), raised.value.problems
