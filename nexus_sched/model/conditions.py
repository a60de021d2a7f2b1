"""Conditions on a worker's labels: how people write them, and what makes one sound.

One syntax for every client, command and explanation:

    gpu                     has the label
    !spot                   has it not
    zone = a                its value is this one
    zone in a, b            one of these
    zone != a               not this one, or no such label
    zone not in a, b        none of these, or no such label
    disk > 100              its value is a number above this one
    disk < 100              or below
    zone = a worth 200ms    not required, but worth that much waiting

Words may touch (`zone=a`, `disk>100`), and values are put in order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_label, check_label_value
from nexus_sched.model.terms import Condition, Operator
from nexus_sched.units import parse_duration_ms

VALUES_MAX = 32  # of one condition
PREFER_MS_MAX = 86_400_000.0  # a day; whoever wants more than that requires it

_WRITTEN = re.compile(
    r"\s*(?:!\s*(?P<missing>[^\s=<>!,]+)|(?P<label>[^\s=<>!,]+)"
    r"(?:\s*(?P<sign>!=|=|<|>)\s*|\s+(?P<word>not\s+in|in)\s+)?(?P<values>.*?))"
    r"(?:\s+worth\s+(?P<worth>\S+))?\s*"
)
_OPERATORS = {
    "=": Operator.IN,
    "in": Operator.IN,
    "!=": Operator.NOT_IN,
    "not in": Operator.NOT_IN,
    ">": Operator.ABOVE,
    "<": Operator.BELOW,
}
_SEVERAL = (Operator.IN, Operator.NOT_IN)
_BARE = (Operator.EXISTS, Operator.MISSING)
_FORMS = "gpu · !spot · zone = a · zone in a, b · zone not in a, b · disk > 100 · zone = a worth 200ms"

Wanted = str | Condition | Sequence[str | Condition] | Mapping[str, object]


def parse_condition(text: str) -> Condition:
    """The condition that `text` describes. Raises `InvalidInput` if it describes none."""
    match = _WRITTEN.fullmatch(text) if len(text) <= 4_096 else None
    if match is None:
        raise InvalidInput(f"{text[:80]!r} is no condition on labels: write {_FORMS}")
    worth = match["worth"]
    prefer_ms = None if worth is None else float(parse_duration_ms(worth))
    if match["missing"]:
        return check_condition(Condition(match["missing"], Operator.MISSING, (), prefer_ms))
    written = match["sign"] or " ".join((match["word"] or "").split())
    if not written:
        if match["values"]:
            raise InvalidInput(f"{text[:80]!r} is no condition on labels: write {_FORMS}")
        return check_condition(Condition(match["label"], Operator.EXISTS, (), prefer_ms))
    operator = _OPERATORS[written]
    values = [value.strip() for value in match["values"].split(",")]
    if "" in values:
        raise InvalidInput(f"{text[:80]!r} lacks a value: write {_FORMS}")
    if written in ("=", "!=") and len(values) > 1:
        raise InvalidInput(f"{text[:80]!r} names several values: write `in` or `not in`")
    return check_condition(Condition(match["label"], operator, tuple(values), prefer_ms))


def conditions_of(wanted: Wanted) -> tuple[Condition, ...]:
    """Conditions from whatever a caller finds most readable.

    Text, a `Condition`, a sequence of them, or a mapping from labels to `True` (has it), `False` (has it not), a
    value, a sequence of values (one of them) or a comparison such as `"> 100"`. Raises `InvalidInput`.
    """
    if isinstance(wanted, Mapping):
        return tuple(_from_pair(label, value) for label, value in wanted.items())
    several = [wanted] if isinstance(wanted, str | Condition) else wanted
    return tuple(check_condition(one) if isinstance(one, Condition) else parse_condition(one) for one in several)


def condition_text(condition: Condition) -> str:
    """How one would write it; `parse_condition` reads it back."""
    label, values = condition.label, ", ".join(condition.values)
    text = {
        Operator.EXISTS: label,
        Operator.MISSING: f"!{label}",
        Operator.IN: f"{label} {'=' if len(condition.values) == 1 else 'in'} {values}",
        Operator.NOT_IN: f"{label} {'!=' if len(condition.values) == 1 else 'not in'} {values}",
        Operator.ABOVE: f"{label} > {values}",
        Operator.BELOW: f"{label} < {values}",
    }[condition.operator]
    return text if condition.prefer_ms is None else f"{text} worth {condition.prefer_ms:g}ms"


def check_condition(condition: Condition) -> Condition:
    """The same condition with its values in order and none twice; raises `InvalidInput` if it makes no sense."""
    label, values = check_label(condition.label), condition.values
    if len(values) > VALUES_MAX:
        raise InvalidInput(f"a condition on {label!r} has {len(values)} values, at most {VALUES_MAX} are possible")
    if condition.operator in _SEVERAL:
        if not values:
            raise InvalidInput(f"a condition on {label!r} names no value")
        values = tuple(sorted({check_label_value(value) for value in values}))
    elif condition.operator in _BARE:
        if values:
            raise InvalidInput(f"a condition on {label!r} that only asks whether it is there takes no value")
    elif len(values) != 1 or number_of(values[0]) is None:
        raise InvalidInput(f"a condition on {label!r} compares with one number, such as `{label} > 100`")
    prefer_ms = condition.prefer_ms
    if prefer_ms is not None and not 0.0 < prefer_ms <= PREFER_MS_MAX:  # also refuses a NaN
        raise InvalidInput(
            f"a condition on {label!r} is worth {prefer_ms} ms; more than 0 and at most a day is possible"
        )
    return Condition(label, condition.operator, values, prefer_ms)


def number_of(text: str) -> float | None:
    """The finite number that a label's value spells, `None` if it spells none."""
    try:
        number = float(text) if len(text) <= 64 and "_" not in text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _from_pair(label: str, value: object) -> Condition:
    if isinstance(value, bool):
        return check_condition(Condition(label, Operator.EXISTS if value else Operator.MISSING))
    if isinstance(value, str) and value.lstrip()[:1] in ("<", ">"):
        return parse_condition(f"{label} {value}")
    if isinstance(value, str | int | float):
        return check_condition(Condition(label, Operator.IN, (str(value),)))
    if isinstance(value, Sequence):
        return check_condition(Condition(label, Operator.IN, tuple(str(one) for one in value)))
    raise InvalidInput(f"{value!r} says nothing about the label {label!r}: give a value, several, True or False")
