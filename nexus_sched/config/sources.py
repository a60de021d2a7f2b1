"""Where values come from: the file, the environment, the flags. Each value remembers its place.

Nothing is interpreted here beyond names: an unknown name is a problem, a known one becomes a `Given`.
Problems are collected, never raised, so that one run tells everything that is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs

from nexus_sched.config.describe import Key, Section, key_at, keys, resolve, sections
from nexus_sched.config.locate import Path as KeyPath
from nexus_sched.config.locate import line_of, lines_by_key
from nexus_sched.config.schema import ALIASES
from nexus_sched.config.schema.process import POOL_PATTERN
from nexus_sched.config.suggest import closest, hint

FILE_BYTES_MAX = 2**20
ENVIRONMENT_PREFIX = "NEXUS__"

_AT_LINE = re.compile(r"\s*\(at line (\d+), column (\d+)\)")


class Given(Struct, frozen=True):
    """One value as it was written, and where."""

    key: Key
    raw: object
    where: str  # "nexus.toml:12", "environment NEXUS__REDIS__URL", "flag --redis-url"
    textual: bool = False  # from a source that knows only text
    alias: str = ""  # the name it was given by, if it was not its own

    @property
    def name(self) -> str:
        """The key as it was written."""
        return self.alias or self.key.path

    @property
    def plain_ms(self) -> bool:
        """Whether it was given by an alias that takes bare milliseconds."""
        return self.alias in ALIASES and ALIASES[self.alias][1] == "ms"


class Layer(Struct):
    """What one source gives."""

    given: dict[str, Given]
    repeated: dict[str, list[tuple[str, dict[str, Given]]]]  # array of tables -> (place, values) of each
    problems: list[str]
    named: list[str]  # tables that stand under a name, such as "pools.blue", also empty ones


def empty_layer() -> Layer:
    """A layer that gives nothing."""
    return Layer({}, {}, [], [])


def read_file(path: Path) -> Layer:
    """The values of a TOML file."""
    layer = empty_layer()
    try:
        with path.open("rb") as stream:
            blob = stream.read(FILE_BYTES_MAX + 1)
        if len(blob) > FILE_BYTES_MAX:
            layer.problems.append(f"{path}: larger than 1 MiB; that cannot be a configuration file")
            return layer
        text = blob.decode()
        tree = tomllib.loads(text)
    except OSError as error:
        layer.problems.append(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}")
    except UnicodeDecodeError as error:
        layer.problems.append(f"{path}:{blob[: error.start].count(10) + 1}: not UTF-8")
    except tomllib.TOMLDecodeError as error:
        layer.problems.append(_syntax_problem(path, str(error)))
    except RecursionError:
        layer.problems.append(f"{path}: nested too deeply")
    else:
        _FileReader(path, lines_by_key(text), layer).read(tree)
    return layer


def read_environment(environment: Mapping[str, str]) -> Layer:
    """The values of all variables `NEXUS__SECTION__KEY` and `NEXUS__ALIAS`."""
    layer = empty_layer()
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        _add_textual(layer, name, environment[variable], f"environment {variable}", variable_of)
    return layer


def read_flags(flags: Sequence[tuple[str, str, str]]) -> Layer:
    """The values of flags, each `(flag as typed, key or alias, text)`."""
    layer = empty_layer()
    for flag, name, text in flags:
        _add_textual(layer, name.strip(), text, f"flag {flag}", str)
    return layer


def variable_of(path: str) -> str:
    """The environment variable of a key or alias: `NEXUS__REDIS__URL`."""
    return ENVIRONMENT_PREFIX + path.upper().replace(".", "__")


def _add_textual(layer: Layer, name: str, text: str, where: str, spell: Callable[[str], str]) -> None:
    path = resolve(name)
    key = key_at(path)
    if key is None:
        near = closest(name, [*(path for path, known in keys().items() if known.single), *ALIASES])
        layer.problems.append(f"{where}: no such key" + (f"; did you mean `{spell(near)}`?" if near else ""))
        return
    if path in layer.given:
        layer.problems.append(f"{where}: sets `{path}` again, after {layer.given[path].where}")
        return
    layer.given[path] = Given(key, text, where, textual=True, alias=name if name in ALIASES else "")


def _syntax_problem(path: Path, message: str) -> str:
    match = _AT_LINE.search(message)
    if match is None:
        return f"{path}: {message}"
    return f"{path}:{match.group(1)}: {_AT_LINE.sub('', message)} (column {match.group(2)})"


class _FileReader:
    """Turns the tree of one file into values with places."""

    def __init__(self, path: Path, lines: dict[KeyPath, int], layer: Layer) -> None:
        self._path = path
        self._lines = lines
        self._layer = layer

    def read(self, tree: dict[str, object]) -> None:
        by_name = {section.name: section for section in sections()}
        for name, value in tree.items():
            section = by_name.get(name)
            if name in ALIASES:
                self._add(Given(keys()[ALIASES[name][0]], value, self._place(name), alias=name))
            elif section is None:
                self._problem(f"unknown key `{name}`{hint(name, [*by_name, *ALIASES])}", name)
            elif section.repeated:
                self._read_repeated(section, value)
            elif not isinstance(value, dict):
                self._problem(f"`{name}` is a table: write [{name}] and its keys below", name)
            elif section.named:
                self._read_named(section, value)
            else:
                self._read_section(section, value)

    def _read_named(self, section: Section, tables: dict[str, object]) -> None:
        """A table for each name: `[pools.blue]`."""
        for name, value in tables.items():
            at = (section.name, name)
            if re.fullmatch(POOL_PATTERN, name) is None:
                self._problem(f"`{name}` cannot be the name of a pool: it must match {POOL_PATTERN}", *at)
            elif not isinstance(value, dict):
                self._problem(f"`{section.name}.{name}` is a table: write [{section.name}.{name}]", *at)
            else:
                self._layer.named.append(f"{section.name}.{name}")
                for given in self._read_table(section, value, at).values():
                    path = f"{section.name}.{name}.{given.key.name}"
                    self._add(structs.replace(given, key=structs.replace(given.key, path=path)))

    def _read_section(self, section: Section, table: dict[str, object]) -> None:
        """A table, and the tables within it: `[scheduler]` and `[scheduler.weights]`."""
        at = tuple(section.name.split("."))
        inner = {each.name.rpartition(".")[2]: each for each in sections() if each.name.startswith(f"{section.name}.")}
        own = {name: value for name, value in table.items() if name not in inner}
        for given in self._read_table(section, own, at, inner).values():
            self._add(given)
        for name, below in inner.items():
            value = table.get(name, {})
            if isinstance(value, dict):
                self._read_section(below, value)
            else:
                self._problem(f"`{below.name}` is a table: write [{below.name}] and its keys below", *at, name)

    def _read_repeated(self, section: Section, value: object) -> None:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self._problem(f"`{section.name}` is a list of tables: write [[{section.name}]]", section.name)
            return
        tables = self._layer.repeated.setdefault(section.name, [])
        for index, item in enumerate(value):
            place = self._place(section.name, index)
            tables.append((place, self._read_table(section, item, (section.name, index))))

    def _read_table(
        self, section: Section, table: dict[str, object], at: KeyPath, inner: Collection[str] = ()
    ) -> dict[str, Given]:
        names = {key.name: key for key in section.keys}
        found: dict[str, Given] = {}
        for name, value in table.items():
            if name not in names:
                self._problem(f"unknown key `{section.name}.{name}`{hint(name, [*names, *inner])}", *at, name)
            else:
                found[names[name].path] = Given(names[name], value, self._place(*at, name))
        return found

    def _add(self, given: Given) -> None:
        path = given.key.path
        if path in self._layer.given:
            self._layer.problems.append(f"{given.where}: sets `{path}` again, after {self._layer.given[path].where}")
            return
        self._layer.given[path] = given

    def _place(self, *at: str | int) -> str:
        return f"{self._path}:{line_of(self._lines, at)}"

    def _problem(self, message: str, *at: str | int) -> None:
        self._layer.problems.append(f"{self._place(*at)}: {message}")
