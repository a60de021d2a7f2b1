"""All sources -> one valid `Config`, or one `ConfigInvalid` with everything that is wrong.

File < environment < flags. Every value of every source is checked, also one that a stronger source
replaces: a mistake that waits until a variable is unset is worse than one that is told now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct, inspect

from nexus_sched.config.describe import Key, Section, keys, sections, table_of
from nexus_sched.config.schema import Config, LimitSection, TenantsSection
from nexus_sched.config.schema.shares import limit_problems, tenant_problems
from nexus_sched.config.sources import Given, Layer, empty_layer, read_environment, read_file, read_flags
from nexus_sched.config.values import read_plain_ms, read_url, read_value
from nexus_sched.errors import ConfigInvalid, InvalidInput
from nexus_sched.model.durability import REPLICATED
from nexus_sched.model.intake import IntakeSettings, intake_problems

DEFAULT_FILE = Path("nexus.toml")
DEFAULT_ORIGIN = "default"


class Loaded(Struct, frozen=True):
    """A valid configuration, and where each value comes from (path of the key -> place)."""

    config: Config
    origins: dict[str, str]


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Sequence[tuple[str, str, str]] = (),
) -> Loaded:
    """Read all sources.

    `file` must exist if it is given; otherwise `nexus.toml` of the working directory is read if it is
    there. `flags` are `(flag as typed, key or alias, text)`. Raises `ConfigInvalid`.
    """
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    layers = [
        empty_layer() if file is None else read_file(file),
        read_environment(environment or {}),
        read_flags(flags),
    ]
    reader = _Reader(layers)
    config = reader.config()
    if reader.problems:
        raise ConfigInvalid(reader.problems)
    return Loaded(config, reader.origins)


class _Reader:
    """Collects values, origins and problems over all layers."""

    def __init__(self, layers: list[Layer]) -> None:
        self._layers = layers
        self.problems = [problem for layer in layers for problem in layer.problems]
        self.origins: dict[str, str] = {}
        self._values: dict[str, object] = {}

    def config(self) -> Config:
        """The configuration; worth nothing if there are problems."""
        for key in keys().values():
            if key.single:
                self._values[key.path] = key.default
                self.origins[key.path] = DEFAULT_ORIGIN
        for layer in self._layers:
            for given in layer.given.values():
                self._take(given)
        self._read_url_file()
        for check in _CHECKS:
            self._check(check)
        if self._values["redis.durability"] == REPLICATED:
            self._check(_CHECK_REPLICATED)
        self._check_objective()
        self._choose_pool()
        build: Callable[..., Config] = Config
        return build(**{section.attribute: self._section(section) for section in sections()})

    def _take(self, given: Given) -> None:
        value = self._value(given)
        if value is not _UNREADABLE:
            self._values[given.key.path] = value
            self.origins[given.key.path] = given.where

    def _value(self, given: Given) -> object:
        try:
            raw = read_plain_ms(given.raw) if given.plain_ms else given.raw
            return read_value(given.key, raw, given.textual)
        except InvalidInput as error:
            self.problems.append(f"{given.where}: `{given.name}`: {error}")
            return _UNREADABLE

    def _section(self, section: Section) -> object:
        struct = _structs()[section.name]
        if section.named:
            return {name: struct(**given) for name, given in self._named(section).items()}
        if not section.repeated:
            table = struct(**{key.attribute: self._values[key.path] for key in section.keys})
            if isinstance(table, TenantsSection):
                place = self.origins["tenants.weights"]
                self.problems += [f"{place}: {problem}" for problem in tenant_problems(table)]
            return table
        tables = [table for layer in self._layers for table in layer.repeated.get(section.name, [])]
        found: list[object] = []
        for place, given in tables:
            found.append(self._table(struct, section.keys, place, given, found))
        return found

    def _named(self, section: Section) -> dict[str, dict[str, object]]:
        """The attributes that are given of each named table, in the order of the names."""
        attributes = {key.name: key.attribute for key in section.keys}
        tables: dict[str, dict[str, object]] = {
            table.removeprefix(f"{section.name}."): {}
            for layer in self._layers
            for table in layer.named
            if table.startswith(f"{section.name}.")
        }
        for path, value in self._values.items():
            outer, _, rest = path.partition(".")
            if outer == section.name:
                name, _, key = rest.rpartition(".")
                tables.setdefault(name, {})[attributes[key]] = value
        return dict(sorted(tables.items()))

    def _table(
        self,
        struct: Callable[..., object],
        expected: tuple[Key, ...],
        place: str,
        given: dict[str, Given],
        before_it: list[object],
    ) -> object:
        before = len(self.problems)
        values = {one.key.attribute: self._value(one) for one in given.values()}
        for key in expected:
            if key.required and key.path not in given:
                self.problems.append(f"{place}: `{key.name}` is missing: {key.description or key.expects()}")
        if len(self.problems) > before:
            return None
        table = struct(**values)
        if isinstance(table, IntakeSettings):
            self.problems += [f"{place}: {problem}" for problem in intake_problems(table)]
        if isinstance(table, LimitSection):
            others = [other for other in before_it if isinstance(other, LimitSection)]
            self.problems += [f"{place}: {problem}" for problem in limit_problems(table, others)]
        return table

    def _read_url_file(self) -> None:
        path, key = self._values["redis.url_file"], keys()["redis.url"]
        if path is None:
            return
        where = self.origins["redis.url_file"]
        try:
            url = Path(str(path)).read_text().split("\n", 1)[0].strip()
            self._values["redis.url"] = read_url(key, url)
            self.origins["redis.url"] = f"file {path}, named by {where}"
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            self.problems.append(f"{where}: `redis.url_file`: {path} cannot be read: {reason}")
        except (InvalidInput, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, InvalidInput) else "not UTF-8"
            self.problems.append(f"{where}: `redis.url_file`: in {path}: {reason}")

    def _check(self, check: tuple[str, str, float, str]) -> None:
        smaller, larger, factor, why = check
        low, high = self._values[smaller], self._values[larger]
        assert isinstance(low, int)
        assert isinstance(high, int)
        if low * factor <= high:
            return
        known = keys()
        places = {self.origins[path] for path in (smaller, larger)} - {DEFAULT_ORIGIN}
        self.problems.append(
            f"{' and '.join(sorted(places)) or DEFAULT_ORIGIN}: `{smaller}` is {known[smaller].write(low)} and "
            f"`{larger}` is {known[larger].write(high)}: {why}"
        )

    def _check_objective(self) -> None:
        objective = self._values["scheduler.objective"]
        for path, objectives in _WEIGHED_UNDER.items():
            if self._values[path] and objective not in objectives:
                possible = " or ".join(f'"{each}"' for each in objectives)
                self.problems.append(
                    f'{self.origins[path]}: `{path}` counts for nothing while `scheduler.objective` is "{objective}": '
                    f"write {possible} there, or leave it out"
                )

    def _choose_pool(self) -> None:
        """The only pool of `[pools]` is ours; of several, one that is named, or that streams go to, must be there."""
        names = {path.split(".")[1] for path in self._values if path.startswith("pools.")}
        names |= {table.split(".")[1] for layer in self._layers for table in layer.named}
        name, origin = self._values["pool.name"], self.origins["pool.name"]
        if len(names) == 1 and origin == DEFAULT_ORIGIN:
            (self._values["pool.name"],) = names
        elif names and name not in names and origin != DEFAULT_ORIGIN:
            self.problems.append(
                f'{origin}: `pool.name` is "{name}", which has no table in `[pools]`: add [pools.{name}], or leave out '
                f"those of {', '.join(sorted(names))}"
            )
        elif names and name not in names and any(layer.repeated.get("intake") for layer in self._layers):
            self.problems.append(
                f"{origin}: `pool.name` does not say which of `[pools]` the streams of [[intake]] go to"
            )


_UNREADABLE = object()

# Weights that only some objectives look at (`core.objective`).
_WEIGHED_UNDER = {
    "scheduler.weights.balance": ("balance", "custom"),
    "scheduler.weights.fit": ("throughput", "custom"),
}

# (smaller key, larger key, factor, why): smaller * factor <= larger.
_CHECKS = (
    (
        "scheduler.suspect",
        "scheduler.dead",
        1.0,
        "a worker is suspected before it is declared lost",
    ),
    ("worker.heartbeat", "scheduler.suspect", 2.0, "one late sign of life must not be enough to suspect a worker"),
    ("scheduler.backoff", "scheduler.backoff_max", 1.0, "the first pause cannot be longer than the longest"),
    ("worker_breaker.open", "worker_breaker.open_max", 1.0, "the first time cannot be longer than the longest"),
)


_CHECK_REPLICATED = (
    "redis.replica_timeout",
    "scheduler.lease",
    2.0,
    "a leader that waits for a replica must still renew its lease",
)


@cache
def _structs() -> dict[str, Callable[..., object]]:
    info = inspect.type_info(Config)
    assert isinstance(info, inspect.StructType)
    kinds = {field.encode_name: field.type for field in info.fields}
    return {name: table_of(kind).cls for name, kind in kinds.items()}
