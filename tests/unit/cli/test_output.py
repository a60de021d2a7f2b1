"""What others have written is shown, not obeyed."""

from __future__ import annotations

import pytest
from rich.table import Table
from rich.text import Text

from nexus_sched.cli.output import console, note, printable

HOSTILE = ("\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x00", "\x7f", "a\x08b")


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_do_not_reach_a_terminal(text: str, capsys: pytest.CaptureFixture[str]):

    table = Table("title")
    table.add_row(Text(text))
    console().print(text, markup=False)
    console().print(table)
    note(text)
    shown = capsys.readouterr()
    assert not any((ord(each) < 32 and each != "\n") or 127 <= ord(each) < 160 for each in shown.out + shown.err)


def test_words_keep_their_lines_and_letters():
    assert printable("eins\n\tzwei ✓ ü") == "eins\n\tzwei ✓ ü"
