"""The schema as data: one `Key` for every key that a file, a variable or a flag may set.

Everything that talks about keys (loader, `config explain`, the reference page, the JSON Schema) reads
this list, so that none of them can disagree with `nexus_sched.config.schema`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from typing import get_type_hints

import msgspec
from msgspec import Struct, inspect, structs

from nexus_sched.config.schema import ALIASES, Config
from nexus_sched.config.schema.process import POOL_PATTERN

_SIZES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_DURATIONS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


class Key(Struct, frozen=True, kw_only=True):
    """One key: where it stands, what it takes, and what it means."""

    path: str  # "scheduler.suspect"; "intake[].stream" within an array of tables, "pools.*.shards" within named ones
    attribute: str  # the field of the section's struct: "suspect_ms"
    kind: str  # text, integer, number, switch, choice, duration, size, url, list or table
    type: object  # what `msgspec.convert` checks a value against in the end
    required: bool  # only within an array of tables
    default: object
    choices: tuple[str, ...] = ()
    lowest: float | None = None
    lowest_open: bool = False  # the lowest value itself is not allowed
    highest: float | None = None
    length_min: int | None = None
    length_max: int | None = None
    pattern: str | None = None
    description: str = ""
    secret: bool = False
    hot: bool = False  # takes effect when the configuration is read again

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def single(self) -> bool:
        """Whether there is one value of it, and not one for each of several tables."""
        return "[]" not in self.path and "*" not in self.path

    def write(self, value: object) -> str:
        """`value` as one would write it in the file."""
        if value is None:
            return "unset"
        if self.kind == "duration" and isinstance(value, int | float):
            return f'"{_with_unit(int(value), _DURATIONS, "ms")}"'
        if self.kind == "size" and isinstance(value, int):
            return f'"{_with_unit(value, _SIZES, "B")}"'
        if isinstance(value, dict):
            pairs = ", ".join(f"{_quoted(name)} = {_quoted(text)}" for name, text in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        return _quoted(value)

    def expects(self) -> str:
        """What values are allowed, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        words = {
            "switch": "true or false",
            "duration": 'a duration such as "250ms"',
            "size": 'a size such as "4MiB"',
            "url": "a URL: redis://, rediss:// or unix://",
            "integer": "a whole number",
            "number": "a number",
            "table": "a table",
            "list": "a list of texts",
        }.get(self.kind, "text")
        if self.pattern is not None:
            return f"{words} that matches {self.pattern}"
        return words + self._bounds()

    def _bounds(self) -> str:
        lowest = None if self.lowest is None else self.write(_whole(self.lowest)).strip('"')
        highest = None if self.highest is None else self.write(_whole(self.highest)).strip('"')
        if self.kind in ("text", "url") or (lowest is None and highest is None):
            return ""
        if highest is None:
            return f", at least {lowest}"
        if lowest is None:
            return f", at most {highest}"
        return f", {'above ' if self.lowest_open else ''}{lowest} to {highest}"


class Section(Struct, frozen=True, kw_only=True):
    """One table of the file."""

    name: str  # as in its header: "scheduler.weights"
    attribute: str  # the field of `Config`: "weights"
    description: str
    repeated: bool  # written as [[name]]
    named: bool  # one table for each name: [pools.blue]
    keys: tuple[Key, ...]


@cache
def sections() -> tuple[Section, ...]:
    """All sections in the order of the schema."""
    return tuple(_sections())


@cache
def keys() -> dict[str, Key]:
    """All keys by path."""
    return {key.path: key for section in sections() for key in section.keys}


def key_at(path: str) -> Key | None:
    """The key of a path, also of one within a named table: `pools.blue.shards`. `None` if there is none."""
    known = keys()
    if path in known:
        return known[path] if known[path].single else None
    outer, name, inner = (*path.split("."), "", "", "")[:3]
    key = known.get(f"{outer}.*.{inner}")
    if key is None or path.count(".") != 2 or re.fullmatch(POOL_PATTERN, name) is None:
        return None
    return structs.replace(key, path=path)


def resolve(name: str) -> str:
    """The path of a key, given by itself or by an alias."""
    return ALIASES[name][0] if name in ALIASES else name


def json_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of `nexus.toml`, for editors."""
    properties: dict[str, object] = {}
    insides: dict[str, dict[str, object]] = {"": properties}  # of each table, for those within it
    for section in sections():
        inside: dict[str, object] = {key.name: _json_schema_of(key) for key in section.keys}
        table: dict[str, object] = {
            "type": "object",
            "description": section.description,
            "additionalProperties": False,
            "properties": inside,
        }
        insides[section.name] = inside
        outer, _, name = section.name.rpartition(".")
        if section.named:
            names = {"pattern": POOL_PATTERN}
            table = {
                "type": "object",
                "description": section.description,
                "propertyNames": names,
                "additionalProperties": {k: table[k] for k in ("type", "additionalProperties", "properties")},
            }
        insides[outer][name] = {"type": "array", "items": table} if section.repeated else table
    for alias, (path, plain_unit) in ALIASES.items():
        target = {"type": "integer"} if plain_unit else _json_schema_of(keys()[path])
        properties[alias] = {**target, "description": f"Alias of `{path}`."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nexus.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _sections() -> Iterator[Section]:
    for section in _struct_fields(inspect.type_info(Config)):
        repeated = isinstance(section.type, inspect.ListType)
        named = isinstance(section.type, inspect.DictType)
        table = table_of(section.type)
        types = get_type_hints(table.cls, include_extras=True)
        notes = _documented_fields(table.cls.__doc__ or "")
        prefix = f"{section.encode_name}{'[]' if repeated else '.*' if named else ''}"
        yield Section(
            name=section.encode_name,
            attribute=section.name,
            description=" ".join((table.cls.__doc__ or "").split("\n\n")[0].split()),
            repeated=repeated,
            named=named,
            keys=tuple(_key(prefix, field, types[field.name], notes.get(field.name, "")) for field in table.fields),
        )


def table_of(section: inspect.Type) -> inspect.StructType:
    """The struct of one table of a section, of which there may be one, a list, or one for each name."""
    table = section
    if isinstance(section, inspect.ListType):
        table = section.item_type
    elif isinstance(section, inspect.DictType):
        table = section.value_type
    assert isinstance(table, inspect.StructType)
    return table


def _struct_fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    assert isinstance(info, inspect.StructType)
    return info.fields


def _key(prefix: str, field: inspect.Field, annotation: object, documented: str) -> Key:
    notes: dict[str, object] = {}
    description = documented
    info = field.type
    if isinstance(info, inspect.Metadata):
        notes = info.extra or {}
        description = str((info.extra_json_schema or {}).get("description", documented))
        info = info.type
    if isinstance(info, inspect.UnionType):
        info = next(option for option in info.types if not isinstance(option, inspect.NoneType))
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return Key(
        path=f"{prefix}.{field.encode_name}",
        attribute=field.name,
        kind=str(notes.get("unit", notes.get("kind", _kind(info)))),
        type=annotation,
        required=field.required,
        default=None if default is msgspec.NODEFAULT else default,
        choices=_choices(info),
        lowest=_number(info, "ge") if _number(info, "ge") is not None else _number(info, "gt"),
        lowest_open=_number(info, "gt") is not None,
        highest=_number(info, "le"),
        length_min=getattr(info, "min_length", None),
        length_max=getattr(info, "max_length", None),
        pattern=getattr(info, "pattern", None),
        description=description,
        secret=bool(notes.get("secret", False)),
        hot=bool(notes.get("hot", False)),
    )


def _documented_fields(docstring: str) -> dict[str, str]:
    """Descriptions out of a numpydoc list: a name alone on its line, its text indented below."""
    found: dict[str, str] = {}
    name = ""
    for line in cleandoc(docstring).splitlines():
        if re.fullmatch(r"[a-z][a-z0-9_]*", line):
            name = line
        elif name and line.startswith("    "):
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
        else:
            name = ""
    return found


def _kind(info: inspect.Type) -> str:
    kinds: dict[type[inspect.Type], str] = {
        inspect.BoolType: "switch",
        inspect.IntType: "integer",
        inspect.FloatType: "number",
        inspect.LiteralType: "choice",
        inspect.EnumType: "choice",
        inspect.DictType: "table",
        inspect.ListType: "list",
        inspect.StructType: "table",
    }
    return kinds.get(type(info), "text")


def _choices(info: inspect.Type) -> tuple[str, ...]:
    if isinstance(info, inspect.LiteralType):
        return tuple(str(value) for value in info.values)
    if isinstance(info, inspect.EnumType):
        return tuple(str(member.value) for member in info.cls)
    return ()


def _number(info: inspect.Type, bound: str) -> float | None:
    value = getattr(info, bound, None)
    return None if value is None else float(value)


def _quoted(value: object) -> str:
    """A TOML value; strings, numbers and switches are written as in JSON."""
    return msgspec.json.encode(value).decode()


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _with_unit(value: int, units: tuple[tuple[str, int], ...], smallest: str) -> str:
    for unit, factor in units:
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value}{smallest}"


def _json_schema_of(key: Key) -> dict[str, object]:
    schema: dict[str, object] = {"description": key.description}
    if key.default is not None and not key.secret:
        schema["default"] = key.write(key.default).strip('"') if key.kind in ("duration", "size") else key.default
    if key.kind == "choice":
        return {**schema, "enum": list(key.choices)}
    types = {"switch": "boolean", "integer": "integer", "number": "number", "table": "object"}
    schema["type"] = types.get(key.kind, "string")
    if key.kind == "list":
        return {**schema, "type": "array", "items": {"type": "string"}}
    if key.kind in ("integer", "number"):
        if key.lowest is not None:
            schema["exclusiveMinimum" if key.lowest_open else "minimum"] = _whole(key.lowest)
        if key.highest is not None:
            schema["maximum"] = _whole(key.highest)
    if key.pattern is not None:
        schema["pattern"] = key.pattern
    return schema
