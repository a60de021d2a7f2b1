"""Sources, their order, and every kind of mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_sched.config.describe import keys
from nexus_sched.config.engine import engine_settings
from nexus_sched.config.load import load
from nexus_sched.config.schema import Config
from nexus_sched.errors import ConfigInvalid
from nexus_sched.model.settings import EngineSettings


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    file = Path("nexus.toml")
    file.write_text(text)
    return file


def problems_of(text: str = "", environment: dict[str, str] | None = None, flags=()) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        load(write(text), environment, flags)
    return caught.value.problems


def test_load_without_any_source_gives_the_defaults():
    loaded = load()
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins.keys() == {path for path, key in keys().items() if key.single}


def test_load_defaults_are_those_of_the_engine():
    assert engine_settings(load().config) == EngineSettings()


def test_load_without_a_name_reads_the_file_of_the_working_directory():
    write("[scheduler]\nprefetch = 7\n")
    assert load().config.scheduler.prefetch == 7


def test_load_later_sources_win_and_origins_say_so():
    write('[scheduler]\nmode = "shadow"\nprefetch = 2\nsuspect = "3s"\n\n[dispatch]\npublish = true\n')
    loaded = load(
        None,
        {"NEXUS__SCHEDULER__MODE": "predictive", "NEXUS__SCHEDULER__PREFETCH": "3", "OTHER": "x"},
        [("--set scheduler.prefetch", "scheduler.prefetch", "4")],
    )
    scheduler = loaded.config.scheduler
    assert (scheduler.mode, scheduler.prefetch, scheduler.suspect_ms) == ("predictive", 4, 3_000)
    assert loaded.config.dispatch.publish is True
    assert loaded.origins["scheduler.suspect"] == "nexus.toml:4"
    assert loaded.origins["scheduler.mode"] == "environment NEXUS__SCHEDULER__MODE"
    assert loaded.origins["scheduler.prefetch"] == "flag --set scheduler.prefetch"
    assert loaded.origins["dispatch.publish"] == "nexus.toml:7"


@pytest.mark.parametrize("source", ["file", "environment", "flag"])
def test_load_seed_names_reach_their_keys_from_every_source(source: str):
    given = {"redis_url": "redis://there:1/2", "fallback_threshold": "9", "heartbeat_timeout_ms": "12000"}
    text, environment, flags = "", {}, []
    for name, value in given.items():
        if source == "file":
            text += f'{name} = "{value}"\n' if name == "redis_url" else f"{name} = {value}\n"
        elif source == "environment":
            environment[f"NEXUS__{name.upper()}"] = value
        else:
            flags.append((f"--{name.replace('_', '-')}", name, value))
    config = load(write(text), environment, flags).config
    assert config.redis.url == "redis://there:1/2"
    assert config.breaker.fallback_threshold == 9
    assert config.scheduler.dead_ms == 12_000


def test_load_units_are_read_and_text_of_the_environment_is_typed():
    environment = {
        "NEXUS__QUEUE__BYTES_MAX": "4MiB",
        "NEXUS__QUEUE__RESULT_TTL": "2h",
        "NEXUS__DISPATCH__PUBLISH": "TRUE",
        "NEXUS__SCHEDULER__ORDER_WEIGHT": "0.5",
        "NEXUS__WORKER__SLOTS": "8",
    }
    config = load(None, environment).config
    assert config.queue.bytes_max == 4 * 2**20
    assert config.queue.result_ttl_ms == 7_200_000
    assert config.dispatch.publish is True
    assert config.scheduler.order_weight == 0.5
    assert config.worker.slots == 8


def test_load_reports_everything_at_once_with_places():
    problems = problems_of(
        'redis_url = "http://x"\nfalback_threshold = 4\n\n'
        '[scheduler]\nmode = "predictve"\nlease = 3000\n\n[schedular]\n',
        {"NEXUS__REDIS__URI": "a", "NEXUS__DISPATCH__PUBLISH": "maybe"},
        [("--fallback-threshold", "fallback_threshold", "0")],
    )
    expected = [
        ("nexus.toml:1: `redis_url`", "must begin with redis://"),
        ("nexus.toml:2: unknown key `falback_threshold`", "did you mean `fallback_threshold`?"),
        ("nexus.toml:5: `scheduler.mode`", 'did you mean "predictive"?'),
        ("nexus.toml:6: `scheduler.lease`", 'a duration with its unit, such as "250ms"'),
        ("nexus.toml:8: unknown key `schedular`", "did you mean `scheduler`?"),
        ("environment NEXUS__REDIS__URI", "did you mean `NEXUS__REDIS__URL`?"),
        ("environment NEXUS__DISPATCH__PUBLISH: `dispatch.publish`", 'expected true or false, got "maybe"'),
        ("flag --fallback-threshold: `fallback_threshold`", "1 to 1000, got 0"),
    ]
    for place, words in expected:
        assert any(problem.startswith(place) and words in problem for problem in problems), (place, problems)
    assert len(problems) == len(expected)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[scheduler]\nprefetch = true", "expected a whole number"),
        ("[scheduler]\nprefetch = 1.5", "expected a whole number"),
        ("[scheduler]\norder_weight = nan", "expected a number"),
        ("[scheduler]\norder_weight = inf", "expected a number"),
        ("[scheduler]\nsuspect = '5ms'", 'expected a duration such as "250ms", 100ms to 1d, got "5ms"'),
        ("[scheduler]\nsuspect = '5 minutes'", "is not a duration"),
        ("[predictor]\nema_alpha = 0", "above 0 to 1"),
        ("[predictor]\nname = ''", "must not be empty"),
        ("[pool]\nname = 'No Capitals'", "that matches"),
        ("[queue]\nbytes_max = '4 apples'", "is not a size"),
        ("[queue]\nbytes_max = 4096", "a size with its unit"),
        ("[redis]\nurl = 5", "expected a URL"),
        ("[redis]\nurl = 'redis://host:99999/0'", "port cannot be read"),
        ("[redis]\nurl = 'redis://host/zero'", "not a number"),
        ("[redis]\nurl = 'unix://'", "names no socket"),
        ("[logging]\nlevel = ['info']", "got a list"),
        ("redis = 'x'", "`redis` is a table"),
        ("heartbeat_timeout_ms = '30s'", "whole number of milliseconds"),
    ],
)
def test_load_wrong_value_is_named_with_what_is_expected(line: str, words: str):
    (problem,) = problems_of(line + "\n")
    assert problem.startswith("nexus.toml:")
    assert words in problem


def test_load_never_repeats_a_password_in_a_problem():
    (problem,) = problems_of('redis_url = "redis://user:canary@host:1/x y"\n')
    assert "canary" not in problem


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"[redis\n", "nexus.toml:1: "),
        (b"a = 1\na = 2\n", "nexus.toml:2: "),
        (b"a = '\xff'\n", "nexus.toml:1: not UTF-8"),
        (b"x = " + b"[" * 5_000 + b"]" * 5_000, "nested too deeply"),
        (b"#" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_load_unreadable_file_is_one_problem(blob: bytes, words: str):
    file = Path("nexus.toml")
    file.write_bytes(blob)
    with pytest.raises(ConfigInvalid) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert words in problem


def test_load_missing_file_that_was_named_is_a_problem():
    with pytest.raises(ConfigInvalid, match=r"absent.toml: cannot be read: no such file"):
        load(Path("absent.toml"))


def test_load_same_key_twice_under_two_names_is_a_problem():
    (problem,) = problems_of('redis_url = "redis://a"\n[redis]\nurl = "redis://b"\n')
    assert problem == "nexus.toml:3: sets `redis.url` again, after nexus.toml:1"


def test_load_values_that_contradict_each_other_are_named_with_both_places():
    (problem,) = problems_of('[scheduler]\nsuspect = "9s"\n', {"NEXUS__HEARTBEAT_TIMEOUT_MS": "6000"})
    assert '`scheduler.suspect` is "9s" and `scheduler.dead` is "6s"' in problem
    assert "environment NEXUS__HEARTBEAT_TIMEOUT_MS and nexus.toml:2" in problem


def test_load_heartbeat_must_leave_room_for_a_late_one():
    (problem,) = problems_of('[worker]\nheartbeat = "1500ms"\n')
    assert "one late sign of life" in problem


def test_load_checks_a_value_that_a_stronger_source_replaces():
    (problem,) = problems_of("[scheduler]\nprefetch = 1000\n", {"NEXUS__SCHEDULER__PREFETCH": "1"})
    assert problem.startswith("nexus.toml:2")


def test_load_url_file_wins_over_url(tmp_path: Path):
    (tmp_path / "secret").write_text("redis://user:pass@host:1/0\nsecond line\n")
    loaded = load(write('[redis]\nurl = "redis://other"\nurl_file = "secret"\n'))
    assert loaded.config.redis.url == "redis://user:pass@host:1/0"
    assert loaded.origins["redis.url"] == "file secret, named by nexus.toml:3"


def test_load_url_file_that_cannot_be_used_is_a_problem():
    assert "absent cannot be read" in problems_of('[redis]\nurl_file = "absent"\n')[0]
    Path("secret").write_text("canary://user:canary@host")
    (problem,) = problems_of('[redis]\nurl_file = "secret"\n')
    assert "in secret: the URL must begin with" in problem
    assert "canary" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1,b:2/mymaster",
        "rediss+sentinel://:p@[::1],b/mymaster/3?sentinel_password=x",
        "redis+cluster://a:1,b:2,c",
        "rediss+cluster://u:p@a",
    ],
)
def test_load_url_of_several_servers_is_taken(url: str):
    assert load(write(f'[redis]\nurl = "{url}"\n')).config.redis.url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinel://canary:canary@a,b", "names no service"),
        ("redis+sentinel://:canary@a,,b/m", "hosts cannot be read"),
        ("redis+cluster://:canary@a/1", "one database"),
        ("redis+cluster://:canary@", "hosts cannot be read"),
        ("redis+cloud://:canary@a", "must begin with"),
    ],
)
def test_load_url_of_several_servers_that_cannot_be_read_is_a_problem(url: str, words: str):
    (problem,) = problems_of(f'[redis]\nurl = "{url}"\n')
    assert words in problem
    assert "canary" not in problem


def test_load_replica_timeout_must_fit_into_the_lease_if_replicas_are_waited_for():
    written = '[redis]\ndurability = "{}"\nreplica_timeout = "600ms"\n'
    (problem,) = problems_of(written.format("replicated"))
    assert '`redis.replica_timeout` is "600ms" and `scheduler.lease` is "1s"' in problem
    assert load(write(written.format("strict"))).config.redis.replica_timeout_ms == 600


def test_load_arrays_of_tables_cannot_come_from_the_environment():
    (problem,) = problems_of("", {"NEXUS__INTAKE__STREAM": "x"})
    assert "environment NEXUS__INTAKE__STREAM: no such key" in problem


def test_load_intake_tables_become_settings():
    config = load(
        write(
            '[[intake]]\nstream = "jobs"\nfields = { type = "kind" }\nentry_bytes_max = "64KiB"\n'
            '[[intake]]\nstream = "more"\ncodec = "msgpack"\n'
        )
    ).config
    first, second = config.intake
    assert (first.stream, first.name_of("type"), first.entry_bytes_max) == ("jobs", "kind", 65_536)
    assert (second.stream, second.codec, second.fields) == ("more", "msgpack", {})


def test_load_intake_problems_name_their_lines():
    problems = problems_of(
        '[[intake]]\nstream = "jobs"\nfields = { type = "kind", pay = "x" }\n\n'
        '[[intake]]\ncodec = "xml"\nsrteam = "a"\nentry_bytes_max = "0B"\n\n[[intake]]\nstream = "{nx:default:0}:cmd"\n'
    )
    expected = [
        ("nexus.toml:1: fields.pay is none of", ""),
        ("nexus.toml:5: `stream` is missing", ""),
        ("nexus.toml:6: `intake[].codec`", 'expected one of "json", "msgpack"'),
        ("nexus.toml:7: unknown key `intake.srteam`", "did you mean `stream`?"),
        ("nexus.toml:8: `intake[].entry_bytes_max`", "expected a size"),
        ("nexus.toml:10: stream is a key of the scheduler itself", ""),
    ]
    for place, words in expected:
        assert any(problem.startswith(place) and words in problem for problem in problems), (place, problems)
    assert len(problems) == len(expected)


def test_load_intake_that_is_one_table_says_how_to_write_it():
    (problem,) = problems_of('[intake]\nstream = "jobs"\n')
    assert problem == "nexus.toml:1: `intake` is a list of tables: write [[intake]]"


def pools_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "nexus.toml"
    file.write_text(text)
    return file


def test_pools_are_tables_by_name_that_every_source_may_fill(tmp_path: Path):
    file = pools_file(tmp_path, '[pool]\nname = "blue"\n[pools.blue]\nshards = 2\n[pools.red]\n')
    loaded = load(file, {"NEXUS__POOLS__BLUE__SHARDS": "3"}, [("--set pools.green.shards", "pools.green.shards", "4")])
    assert {name: table.shards for name, table in loaded.config.pools.items()} == {"blue": 3, "green": 4, "red": None}
    assert loaded.origins["pools.blue.shards"] == "environment NEXUS__POOLS__BLUE__SHARDS"
    assert load(pools_file(tmp_path, "")).config.pools == {}


def test_pools_the_only_one_is_the_pool_of_the_process(tmp_path: Path):
    assert load(pools_file(tmp_path, "[pools.blue]\nshards = 2\n")).config.pool.name == "blue"
    assert load(pools_file(tmp_path, "[pools.blue]\n[pools.red]\n")).config.pool.name == "default"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pools.blue]\nshards = 0\n", "pools.blue.shards`: expected a whole number, 1 to 1024, got 0"),
        ("[pools.blue]\nshard = 2\n", "unknown key `pools.shard`"),
        ("[pools.Blue]\nshards = 2\n", "`Blue` cannot be the name of a pool"),
        ("[pools]\nblue = 2\n", "`pools.blue` is a table: write [pools.blue]"),
        ('[pool]\nname = "red"\n[pools.blue]\n', '`pool.name` is "red", which has no table in `[pools]`'),
        ('[pools.a]\n[pools.b]\n[[intake]]\nstream = "jobs"\n', "does not say which of `[pools]`"),
    ],
)
def test_pools_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, words: str):
    with pytest.raises(ConfigInvalid) as caught:
        load(pools_file(tmp_path, text))
    assert words in str(caught.value)
