"""Links lead somewhere, examples are the real files, and every decision is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.structure.documents import examples, links
from tests.structure.sources import ROOT, read, tracked

PAGES = [path for path in tracked() if path.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_of_a_page_lead_to_files(page: Path):
    broken = [target for target in links(read(page)) if not (ROOT / page.parent / target).exists()]
    assert broken == []


def test_examples_in_pages_are_the_files_they_name():
    found = 0
    for page in PAGES:
        for name, code in examples(read(page)):
            assert code == read(Path(name)), f"{page} must show {name} as it is"
            found += 1
    assert found >= 2


def test_quickstart_examples_take_six_lines_of_code_each():
    for name in ("examples/quickstart_worker.py", "examples/quickstart_submit.py"):
        code = [line for line in read(Path(name)).splitlines() if line.strip() and not line.startswith(("#", '"""'))]
        assert len(code) <= 6, name


def test_every_decision_is_in_the_index_with_its_title():
    index = read(Path("docs/decisions/README.md")).splitlines()
    missing = []
    for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        number, _, title = path.read_text().split("\n", 1)[0].removeprefix("# ").partition(": ")
        line = f"* {number} [{title}]({path.name})"
        missing += [] if line in index else [line]
    assert missing == [], "add these lines to docs/decisions/README.md"


def test_decision_numbers_are_unique():
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))


def test_commands_in_pages_exist_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", read(Path("Makefile")), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", read(page))}
    named |= {name for page in PAGES for name in re.findall(r"^make ([a-z-]+)", read(page), re.MULTILINE)}
    assert named
    assert named <= targets
