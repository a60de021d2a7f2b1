"""The page of a comparison: it stands alone, holds what was measured, and can be read by everybody."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from nexus_sched.cli import exit_codes, main
from nexus_sched.errors import InvalidInput
from nexus_sched.sim.compare import Comparison, compare
from nexus_sched.sim.pictures import promises, service_times
from nexus_sched.sim.plot import Axis, Picture, decades, duration, times
from nexus_sched.sim.report import write_report
from nexus_sched.sim.scenarios import Size, generate
from tests.unit.sim.test_policies import Silence

NAMES = ("predictive", "least-outstanding", "oracle")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(lambda seed: generate("churn", Size(workers=8, tasks=300, load=0.7), seed), NAMES, 2, Silence())


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "below" / "page.html"
    write_report(structs.replace(comparison, scenario="<b>churn"), path, "nexus-sched simulate --synthetic '<churn>'")
    return path.read_text(encoding="utf-8")


class _Tags(HTMLParser):
    """Checks that what is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_page_needs_nothing_beside_it_and_names_are_escaped(page: str):
    assert not re.search(r"https?://|<script|src=|@import|url\(|<link", page)
    assert "Policies compared: &lt;b&gt;churn" in page
    assert "--synthetic &#x27;&lt;churn&gt;&#x27;" in page
    assert "<b>" not in page
    assert "prefers-color-scheme: dark" in page


def test_page_is_well_formed_and_says_in_words_what_it_shows(page: str):
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    pictures = [found for tag, found in tags.seen if tag == "svg" and found.get("role") == "img"]
    assert all(found["aria-label"] for found in pictures)
    assert len(pictures) == 2 + len(NAMES) + 2 * 2  # responses; busy; promises and run times of two that predict
    assert ("html", {"lang": "en"}) in tags.seen
    assert all(found.get("scope") in ("row", "col") for tag, found in tags.seen if tag == "th")
    assert sum(tag == "caption" for tag, _ in tags.seen) == sum(tag == "table" for tag, _ in tags.seen) >= 2


def test_pictures_are_drawings_with_a_line_for_each_policy(page: str):
    drawings = [
        ElementTree.fromstring(found) for found in re.findall(r'<svg viewBox[^>]*role="img".*?</svg></svg>', page)
    ]
    for drawing in drawings[:2]:
        lines = [part.get("class") for part in drawing.iter() if str(part.get("class")).startswith("line")]
        assert sorted(lines) == ["line s0", "line s1", "line s2"]
        assert all("nan" not in str(part.get("d")) for part in drawing.iter())


def test_tables_hold_the_means_and_their_intervals(page: str, comparison: Comparison):
    runs = comparison.figures["predictive"]
    mean_s = sum(figures["response_s.mean"] or 0.0 for figures in runs) / len(runs)
    row = re.search(r"<tr><th scope=\"row\"><i class=\"mark s0\"></i>predictive</th>(.*?)</tr>", page)
    assert row is not None
    assert row[1].startswith(f"<td>{mean_s:.3f} s<small>&plusmn;")
    assert "below least-outstanding" in page


def test_dots_are_the_tasks_that_count(comparison: Comparison):
    history = comparison.histories["predictive"]
    for columns in (service_times(history), promises(history)):
        assert columns is not None
        assert 0 < len(columns[0]) <= 240
    assert service_times(comparison.histories["least-outstanding"]) is None
    assert promises(comparison.histories["least-outstanding"]) is None


def test_axes_are_marked_at_round_places():
    assert [text for _, text in decades("d", 30.0, 200_000.0).ticks] == ["100 ms", "1 s", "10 s", "100 s"]
    assert [text for _, text in times("t", 450_000.0).ticks] == ["0", "100 s", "200 s", "300 s", "400 s"]
    assert [duration(value) for value in (0.0, 0.5, 20.0, 1_500.0, 2e6)] == ["0", "500 us", "20 ms", "1.5 s", "2,000 s"]
    logarithmic = Axis("x", 1.0, 100.0, (), logarithmic=True)
    assert [logarithmic.share(value) for value in (1.0, 10.0, 100.0)] == [0.0, 0.5, 1.0]


def test_equal_numbers_give_equal_pictures():
    def drawn() -> str:
        picture = Picture("label <&>", decades("x", 1.0, 100.0), decades("y", 1.0, 100.0))
        picture.line([(1.0, 1.0), (10.0, 100.0)], "s0")
        return picture.svg()

    assert drawn() == drawn()
    assert "label &lt;&amp;&gt;" in drawn()


def test_command_writes_the_page_with_its_own_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "page.html"
    sizes = ["--workers", "4", "--tasks", "80", "--seeds", "1", "--owners", "2", "--policies", "predictive,pull"]
    assert main(["simulate", *sizes, "--report", str(path)]) == exit_codes.OK
    assert f"The report is {path}" in capsys.readouterr().err
    text = path.read_text()
    assert "nexus-sched simulate --policies predictive,pull --synthetic hetero --workers 4" in text
    assert "--owners 2" in text


def test_page_that_cannot_be_written_is_told(comparison: Comparison, tmp_path: Path):
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        write_report(comparison, tmp_path, "")
