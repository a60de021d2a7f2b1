"""Did you mean: the closest of the words that would have been right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SIMILARITY_MIN = 0.6  # difflib's own default; below it suggestions read like noise


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or `None` if none is like it."""
    matches = get_close_matches(word.lower()[:200], list(known), n=1, cutoff=SIMILARITY_MIN)
    return matches[0] if matches else None


def hint(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?`, or nothing."""
    near = closest(word, known)
    return f"; did you mean `{near}`?" if near is not None else ""
