"""One written value -> the value the program works with, or a sentence that says what is wrong.

A file gives typed values, variables and flags give text; after `read_value` both look the same. Durations
become whole milliseconds and sizes whole bytes here and nowhere else.
"""

from __future__ import annotations

import math
import re
from urllib.parse import urlsplit

import msgspec

from nexus_sched.config.describe import Key
from nexus_sched.config.suggest import closest
from nexus_sched.errors import InvalidInput
from nexus_sched.model.choices import pairs_of
from nexus_sched.model.conditions import number_of
from nexus_sched.units import parse_duration_ms, parse_size_bytes

URL_SCHEMES = ("redis", "rediss", "unix")
URL_TOPOLOGIES = ("sentinel", "cluster")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(:[0-9]{1,5})?")

_WORDS = {bool: "a switch", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "a table"}


def read_value(key: Key, raw: object, textual: bool) -> object:
    """The value of `key` from what was written; raises `InvalidInput` with a sentence for people.

    `textual` says that `raw` comes from a place that knows only text.
    """
    reader = _READERS.get(key.kind)
    value = _from_text(key, raw) if textual and isinstance(raw, str) else raw
    if reader is not None:
        value = reader(key, value)
    _check_bounds(key, value)
    try:
        return msgspec.convert(value, key.type)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{error}; expected {key.expects()}") from error


def read_plain_ms(raw: object) -> object:
    """The duration text of an alias that takes bare milliseconds: `30000` -> `"30000ms"`."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return f"{raw}ms"
    if isinstance(raw, str) and raw.strip().isdecimal():
        return f"{raw.strip()}ms"
    raise InvalidInput(f"expected a whole number of milliseconds, got {_written(raw)}")


def _from_text(key: Key, text: str) -> object:
    """Text from a variable or flag as a file would have given it; left alone if it cannot be."""
    try:
        if key.kind == "integer":
            return int(text)
        if key.kind == "number":
            return float(text)
    except ValueError:
        return text
    if key.kind == "switch":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if key.kind == "table":
        return _table_from_text(text)
    if key.kind == "list":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _table_from_text(text: str) -> object:
    """`acme=2,other=1` as a table; numbers where they are some."""
    if not text.strip():
        return {}
    pairs = pairs_of(text, "an entry")
    return {name: value if (number := number_of(value)) is None else number for name, value in pairs.items()}


def _read_quantity(key: Key, raw: object) -> object:
    if not isinstance(raw, str):
        example = '"250ms" or "5s"' if key.kind == "duration" else '"64KiB" or "4MiB"'
        raise InvalidInput(f"expected a {key.kind} with its unit, such as {example}, got {_written(raw)}")
    return parse_duration_ms(raw) if key.kind == "duration" else parse_size_bytes(raw)


def _read_integer(key: Key, raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}")
    return raw


def _read_number(key: Key, raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}")
    return float(raw)


def _read_switch(key: Key, raw: object) -> object:
    if not isinstance(raw, bool):
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}")
    return raw


def _read_choice(key: Key, raw: object) -> object:
    if raw not in key.choices:
        near = closest(raw, key.choices) if isinstance(raw, str) else None
        hint = f'; did you mean "{near}"?' if near is not None else ""
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}{hint}")
    return raw


def _read_text(key: Key, raw: object) -> object:
    if not isinstance(raw, str):
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}")
    if key.pattern is not None and re.search(key.pattern, raw) is None:
        raise InvalidInput(f"expected {key.expects()}, got {_written(raw)}")
    if key.length_min is not None and len(raw) < key.length_min:
        raise InvalidInput("must not be empty" if key.length_min == 1 else f"is shorter than {key.length_min}")
    if key.length_max is not None and len(raw) > key.length_max:
        raise InvalidInput(f"is longer than {key.length_max} characters")
    return raw


def read_url(key: Key, raw: object) -> object:
    """A server's URL. Nothing of it is repeated in messages: it may hold a password."""
    if not isinstance(raw, str):
        raise InvalidInput(f"expected {key.expects()}, got {_WORDS.get(type(raw), 'something else')}")
    _read_text(key, raw)
    family, _, topology = raw.partition("://")[0].partition("+")
    if topology in URL_TOPOLOGIES and family in ("redis", "rediss"):
        return _several_servers(raw, topology)
    try:
        parts = urlsplit(raw)
        port = parts.port
    except ValueError as error:
        raise InvalidInput("the URL's host or port cannot be read; write redis://host:6379/0") from error
    if parts.scheme not in URL_SCHEMES:
        raise InvalidInput(f"the URL must begin with {', '.join(f'{scheme}://' for scheme in URL_SCHEMES)}")
    if parts.scheme == "unix":
        if not parts.path:
            raise InvalidInput("the URL names no socket: write unix:///path/to/redis.sock")
        return raw
    if not parts.hostname or port == 0:
        raise InvalidInput("the URL names no host or port: write redis://host:6379/0")
    database = parts.path.strip("/")
    if database and not database.isdecimal():
        raise InvalidInput(f"the URL's database is {database[:20]!r}, which is not a number: write redis://host:6379/0")
    return raw


def _several_servers(raw: str, topology: str) -> str:
    """Hosts with commas between them; the store that connects reads the rest, and refuses what it cannot."""
    authority, _, path = raw.partition("://")[2].partition("?")[0].partition("/")
    if not all(_HOST.fullmatch(host) for host in authority.rpartition("@")[2].split(",")):
        raise InvalidInput(f"the URL's hosts cannot be read: write redis+{topology}://host:port,host:port")
    if topology == "sentinel" and not path.strip("/"):
        raise InvalidInput("the URL names no service: write redis+sentinel://host:26379,host:26379/mymaster")
    if topology == "cluster" and path.strip("/"):
        raise InvalidInput("a cluster has one database: write redis+cluster://host:6379,host:6379")
    return raw


def mask_url(url: str) -> str:
    """`url` without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _check_bounds(key: Key, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low = key.lowest is not None and (value <= key.lowest if key.lowest_open else value < key.lowest)
    if low or (key.highest is not None and value > key.highest):
        raise InvalidInput(f"expected {key.expects()}, got {key.write(value)}")


def _written(raw: object) -> str:
    if isinstance(raw, str):
        return f'"{raw[:60]}"'
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, int | float):
        return str(raw)[:60]
    return _WORDS.get(type(raw), "a date or time")


_READERS = {
    "duration": _read_quantity,
    "size": _read_quantity,
    "integer": _read_integer,
    "number": _read_number,
    "switch": _read_switch,
    "choice": _read_choice,
    "text": _read_text,
    "url": read_url,
}
