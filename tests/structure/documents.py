"""What the pages of the documentation hold: links, examples, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_COMMANDS = re.compile(r"<!-- commands: (\S+) -->\n```sh\n(.*?)```", re.DOTALL)


def links(page: str) -> Iterator[str]:
    """Targets within the repository."""
    for target in _LINK.findall(page):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def examples(page: str) -> list[tuple[str, str]]:
    """Marked code blocks: the file each of them shows, and the text."""
    return _EXAMPLE.findall(page)


def commands(page: str, name: str) -> list[str]:
    """The lines of the block of commands with this name."""
    for found, block in _COMMANDS.findall(page):
        if found == name:
            return block.splitlines()
    raise LookupError(f"no block of commands is called {name}")


def code_blocks(page: str, language: str) -> list[str]:
    """All fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
