"""`nexus-sched config check|show|schema|explain`. Passwords are never printed."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from nexus_sched.cli.options import NO_FLAGS, ConfigFlags
from nexus_sched.cli.output import note, print_json
from nexus_sched.config.describe import Key, Section, json_schema, key_at, keys, resolve, sections
from nexus_sched.config.load import DEFAULT_ORIGIN, Loaded
from nexus_sched.config.reference import header
from nexus_sched.config.schema import ALIASES
from nexus_sched.config.sources import variable_of
from nexus_sched.config.suggest import hint
from nexus_sched.config.values import mask_url
from nexus_sched.errors import NexusError


class KeyUnknown(NexusError):
    """There is no such key."""

    code = "KEY_UNKNOWN"
    exit_code = 5


def check(*, flags: ConfigFlags = NO_FLAGS) -> int:
    """Check the configuration and report everything that is wrong, each finding with its place.

    Exits with code 3 if something is wrong.
    """
    loaded = flags.load()
    given = sum(origin != DEFAULT_ORIGIN for origin in loaded.origins.values())
    if flags.json:
        print_json({"valid": True, "keys_given": given})
    else:
        note(f"The configuration is valid; {given} of {len(loaded.origins)} keys are set, the others have defaults.")
    return 0


def show(*, origin: bool = False, flags: ConfigFlags = NO_FLAGS) -> int:
    """Print the configuration in force.

    Parameters
    ----------
    origin
        Also say where each value comes from.
    """
    loaded = flags.load()
    if flags.json:
        print_json({"config": _as_tree(loaded), **({"origins": loaded.origins} if origin else {})})
        return 0
    blocks = []
    for section in sections():
        for name, table in _tables(loaded, section):
            lines = [_line(key, getattr(table, key.attribute)) for key in section.keys]
            if origin and not section.repeated:
                places = [loaded.origins.get(key.path.replace("*", name), DEFAULT_ORIGIN) for key in section.keys]
                lines = [f"{line}  # {place}" for line, place in zip(lines, places, strict=True)]
            blocks.append("\n".join([header(section, name), *lines]) + "\n")
    sys.stdout.write("\n".join(blocks))
    return 0


def schema() -> int:
    """Print the JSON Schema of nexus.toml, for editors."""
    print_json(json_schema())
    return 0


def explain(key: str, /, *, json: Annotated[bool, Parameter(name="--json", show_default=False)] = False) -> int:
    """Say what a key means and takes.

    Parameters
    ----------
    key
        Path of the key, such as scheduler.mode, or one of the short names, such as redis_url.
    json
        Print one JSON object on standard output.
    """
    path = resolve(key)
    found = keys().get(path) or key_at(path)
    if found is None:
        raise KeyUnknown(f"there is no key `{key}`{hint(key, [*keys(), *ALIASES])}")
    aliases = [alias for alias, (target, _) in ALIASES.items() if target == path]
    facts = {
        "key": path,
        "description": found.description,
        "takes": found.expects(),
        "default": found.write(found.default),
        "variable": variable_of(path) if found.single else "",
        "aliases": aliases,
        "hot": found.hot,
    }
    if json:
        print_json(facts)
        return 0
    lines = [
        f"{path}: {found.description}",
        f"  takes     {facts['takes']}",
        f"  default   {facts['default']}",
        f"  variable  {facts['variable']}" if facts["variable"] else "",
        f"  also      {', '.join(aliases)} at the top level" if aliases else "",
        f"  changes   {'when the configuration is read again (SIGHUP)' if found.hot else 'at the next start'}",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines if line))
    return 0


def _tables(loaded: Loaded, section: Section) -> list[tuple[str, object]]:
    """The tables of a section, each with its name if they have names."""
    found = getattr(loaded.config, section.attribute)
    if section.named:
        return list(found.items())
    return [("", table) for table in (found if isinstance(found, list) else [found])]


def _line(key: Key, value: object) -> str:
    if value is None:
        return f"# {key.name} is unset"
    return f"{key.name} = {key.write(_masked(key, value))}"


def _as_tree(loaded: Loaded) -> dict[str, object]:
    """Every value by path, in the units of the schema; arrays of tables as lists."""
    tree: dict[str, object] = {}
    for section in sections():
        names = [name for name, _ in _tables(loaded, section)]
        tables = [
            {key.name: _masked(key, getattr(table, key.attribute)) for key in section.keys}
            for _, table in _tables(loaded, section)
        ]
        if section.named:
            tree[section.name] = dict(zip(names, tables, strict=True))
        elif section.repeated:
            tree[section.name] = tables
        else:
            tree |= {f"{section.name}.{name}": value for name, value in tables[0].items()}
    return tree


def _masked(key: Key, value: object) -> object:
    return mask_url(value) if key.secret and isinstance(value, str) else value
