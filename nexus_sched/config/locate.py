"""Which line of a TOML file a key stands on, because the standard parser does not say.

It reads only what is needed for that: table headers and the keys in front of `=`. It runs on text that
`tomllib` has already accepted, so a mistake here can misplace a message and nothing else.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_ASSIGNMENT = re.compile(rf"^\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=(.*)$")
_PART = re.compile(_NAME)
_STRING_OR_COMMENT = re.compile(r"""\"(?:\\.|[^"\\])*"|'[^']*'|#.*$""")

Path = tuple[str | int, ...]


def lines_by_key(text: str) -> dict[Path, int]:
    """Line number, from 1, of every table and key: `("intake", 0, "stream") -> 12`."""
    found: dict[Path, int] = {}
    repeats: dict[Path, int] = {}
    table: Path = ()
    closing = ""  # the delimiter of a multi-line string that is open
    depth = 0  # open brackets of a multi-line array
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            if closing in line:
                closing = ""
            continue
        if depth > 0:
            depth += _depth_change(line)
            continue
        header = _HEADER.match(line)
        if header is not None:
            table = _table_path(_parts(header.group(2)), header.group(1) == "[[", repeats)
            found.setdefault(table, number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment is not None:
            parts = _parts(assignment.group(1))
            for length in range(1, len(parts) + 1):
                found.setdefault((*table, *parts[:length]), number)
            closing = _opened_string(assignment.group(2))
            depth = 0 if closing else max(0, _depth_change(assignment.group(2)))
    return found


def line_of(found: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest thing around it that has one."""
    for length in range(len(path), 0, -1):
        if path[:length] in found:
            return found[path[:length]]
    return 1


def _parts(text: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _table_path(parts: Path, repeated: bool, repeats: dict[Path, int]) -> Path:
    path: Path = ()
    for index, part in enumerate(parts):
        path = (*path, part)
        if index == len(parts) - 1 and repeated:
            repeats[path] = repeats.get(path, -1) + 1
        if path in repeats:
            path = (*path, repeats[path])
    return path


def _opened_string(value: str) -> str:
    start = value.lstrip()[:3]
    if start in ('"""', "'''") and value.count(start) == 1:
        return start
    return ""


def _depth_change(text: str) -> int:
    bare = _STRING_OR_COMMENT.sub("", text)
    return bare.count("[") - bare.count("]")
