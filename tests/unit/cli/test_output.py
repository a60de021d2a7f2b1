"""What others have written is shown, not obeyed."""

from __future__ import annotations

import pytest
from rich.table import Table
from rich.text import Text

from nexus_sched.cli.output import console, note
from nexus_sched.model.printable import one_line, printable

HOSTILE = (
    "\u202egnp.exe",
    "\u2066a",
    "a\u2028b",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "\x00",
    "\x7f",
    "a\x08b",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_do_not_reach_a_terminal(text: str, capsys: pytest.CaptureFixture[str]):

    table = Table("title")
    table.add_row(Text(text))
    console().print(text, markup=False)
    console().print(table)
    note(text)
    shown = capsys.readouterr()
    assert [each for each in shown.out + shown.err if not each.isprintable() and each != "\n"] == []


def test_words_keep_their_lines_and_letters():
    assert printable("eins\n\tzwei ✓ ü") == "eins\n\tzwei ✓ ü"


@pytest.mark.parametrize("text", [*HOSTILE, "a\nb"])
def test_what_cannot_be_seen_is_written_out_where_there_is_one_line(text: str):
    assert one_line(text).isprintable()
    assert "\\" in one_line(text)


def test_what_can_be_seen_stays_as_it_is():
    assert one_line("eins zwei ✓ ü 💥 \\n") == "eins zwei ✓ ü 💥 \\n"
