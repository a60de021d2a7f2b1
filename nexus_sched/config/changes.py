"""What differs between two configurations, and what of it can take effect in a process that runs."""

from __future__ import annotations

from msgspec import Struct, structs

from nexus_sched.config.describe import Key, Section, sections
from nexus_sched.config.schema import Config
from nexus_sched.config.values import mask_url


class Change(Struct, frozen=True):
    """One key, or one array of tables, with what it was and is, as one would write it; passwords are masked."""

    path: str
    before: str
    after: str
    hot: bool  # takes effect at once, otherwise at the next start

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


def changes_between(before: Config, after: Config) -> list[Change]:
    """All differences, in the order of the schema."""
    return [change for section in sections() for change in _changes_of(section, before, after)]


def with_hot_keys(before: Config, after: Config) -> Config:
    """`before` with the values of `after` where these can take effect at once."""
    tables: dict[str, object] = {}
    for section in sections():
        old, new = getattr(before, section.attribute), getattr(after, section.attribute)
        single = not (section.repeated or section.named)
        hot = {key.attribute: getattr(new, key.attribute) for key in section.keys if single and key.hot}
        if section.repeated or section.named:
            tables[section.attribute] = new if _is_hot(section) else old
        else:
            tables[section.attribute] = structs.replace(old, **hot)
    return structs.replace(before, **tables)


def _changes_of(section: Section, before: Config, after: Config) -> list[Change]:
    old, new = getattr(before, section.attribute), getattr(after, section.attribute)
    if old == new:
        return []
    if section.repeated:
        return [Change(section.name, _tables(section, old), _tables(section, new), _is_hot(section))]
    if section.named:
        return [
            Change(f"{section.name}.{name}", _table(section, old.get(name)), _table(section, new.get(name)), False)
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
    pairs = [(key, getattr(old, key.attribute), getattr(new, key.attribute)) for key in section.keys]
    return [Change(key.path, _written(key, was), _written(key, now), key.hot) for key, was, now in pairs if was != now]


def _is_hot(section: Section) -> bool:
    return all(key.hot for key in section.keys)


def _tables(section: Section, tables: list[object]) -> str:
    return "[" + ", ".join(_table(section, table) for table in tables) + "]"


def _table(section: Section, table: object) -> str:
    if table is None:
        return "unset"
    row = ", ".join(f"{key.name} = {_written(key, getattr(table, key.attribute))}" for key in section.keys)
    return f"{{ {row} }}"


def _written(key: Key, value: object) -> str:
    return key.write(mask_url(value) if key.secret and isinstance(value, str) else value)
