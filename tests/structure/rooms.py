"""Who may import whom, as data, and the imports of a file (of a compiled one as well).

The rules are those of docs/explanation/architecture.md. A room is the longest prefix of `ROOMS` that fits;
every room may import itself and the leaves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

PACKAGE = "nexus_sched"
LEAVES = ("model", "errors", "units", "version", "config.schema")

PORTS = ("runtime.ports", "runtime.pool_ports")

ROOMS: dict[str, tuple[str, ...]] = {
    "model": (),
    "errors": (),
    "units": (),
    "version": (),
    "config.schema": (),
    "config": (),
    "traces": (),
    "proto": (),
    "tracing": (),
    "_kernel": (),
    "fallback": (),
    "core": ("_kernel", "fallback"),
    "replay": ("core", "fallback", "runtime.ports", "runtime.recovery"),
    "runtime": ("core", "fallback", "config", "sharding"),
    "adapters.memory": PORTS,
    "adapters.redis": PORTS,
    "adapters.grpc": (*PORTS, "proto"),
    "sharding": PORTS,
    "worker": ("runtime.ports", "tracing"),
    "worker.connect": ("worker", *PORTS, "adapters.redis", "adapters.grpc", "sharding"),  # from a URL to an adapter
    "client": ("runtime.ports",),
    "client.connect": ("client", *PORTS, "adapters.redis", "sharding"),
    "control": ("client", *PORTS),
    "gateway": ("client", "control", "config", *PORTS, "proto", "tracing"),
    "gateway.connect": (
        *("gateway", "config", *PORTS, "client.connect", "worker.connect", "adapters.redis", "sharding"),
    ),
    "checkup": (),
    "inspection": ("core", "runtime.ports", "runtime.recovery"),
    "accuracy": ("core", "traces", "plugins"),
    "sim": ("core", "traces", "fallback", "_kernel"),
    "plugins": ("core", "_kernel", "config", "runtime.ports", "runtime.recovery"),
    # Composition roots: they choose adapters and put the other rooms together.
    "demo": ("adapters.redis", "worker", "client", "traces", "runtime.ports", "replay", "gateway.access"),
    "testing": (
        *("adapters", "runtime", "core", "worker", "client", "config", "replay", "fallback", "_kernel", "inspection"),
        *("gateway", "sharding", "demo.processes"),
    ),
    "cli": (
        *("adapters", "runtime", "core", "worker", "client", "config", "replay", "demo", "fallback", "traces"),
        *("accuracy", "plugins", "sim", "inspection", "checkup", "gateway", "control", "sharding", "tracing"),
    ),
    "__main__": ("cli",),
}

_CYTHON_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+\(?([^#]*)", re.MULTILINE)
_CYTHON_IMPORT = re.compile(r"^\s*c?import\s+([\w., ]+?)(?:\s+as\s+\w+)?\s*(?:#.*)?$", re.MULTILINE)


def room_of(module: str) -> str | None:
    """The room of a module named without the package: `core.engine` -> `core`."""
    fitting = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    return max(fitting, key=len) if fitting else None


def violations(module: str, imported: Iterator[str]) -> list[str]:
    """Which imports of `module` (without the package) break the rules, in words."""
    room = room_of(module)
    if room is None:
        # A folder's own table of contents may name what is below it.
        return [f"{module} imports {name}" for name in imported if not _within(name, (module or PACKAGE, *LEAVES))]
    allowed = (room, *LEAVES, *ROOMS[room]) if room not in LEAVES else LEAVES
    if room == "config.schema":
        allowed = ("model", "errors", "units", "config.schema")
    return [f"{module} ({room}) imports {name}" for name in imported if not _within(name, allowed)]


def python_imports(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Modules of the package that Python source imports, wherever in the file, without the package's name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (_own(alias.name) for alias in node.names if _is_own(alias.name))
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, module, is_package)
            if _is_own(origin):
                yield from (_own(f"{origin}.{alias.name}") for alias in node.names)


def cython_imports(source: str) -> Iterator[str]:
    """Modules of the package that Cython source imports or cimports."""
    for origin, names in _CYTHON_FROM.findall(source):
        if _is_own(origin):
            yield from (_own(f"{origin}.{name.split()[0]}") for name in names.strip(" ()\n").split(",") if name.strip())
    for names in _CYTHON_IMPORT.findall(source):
        yield from (_own(name.split()[0]) for name in names.split(",") if _is_own(name.split()[0]))


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = f"{PACKAGE}.{module}".rstrip(".").split(".")
    parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _is_own(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _own(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def _within(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)
