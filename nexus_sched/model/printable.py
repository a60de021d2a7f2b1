"""What others have written, as people may be shown it: nothing in it commands a terminal, turns the direction of
writing, hides, or begins a line that seems to be ours.
"""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # the last two are part of how some scripts are written
_SPACES = "Zs"


def printable(text: str) -> str:
    """`text` with its lines; whatever else cannot be seen is a replacement character."""
    if text.isprintable():
        return text
    return "".join(each if _is_shown(each) else "\N{REPLACEMENT CHARACTER}" for each in text)


def one_line(text: str) -> str:
    """`text` on one line; what cannot be seen is written as Python would write it."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def printable_json(text: str) -> str:
    """The same JSON; what cannot be seen is written as JSON's escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _KEPT or unicodedata.category(character) == _SPACES


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[first]:02x}{units[first + 1]:02x}" for first in range(0, len(units), 2))
