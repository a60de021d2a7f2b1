"""A comparison as one page that needs nothing beside it: pictures, tables with intervals, and what made them.

Laws: no script and no request; dark or light as the reader's system is; every picture has words, every table headers;
policies differ by dashes as well as by colour, and the colours are told apart by everybody (Okabe and Ito, 2008).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from nexus_sched.errors import InvalidInput
from nexus_sched.sim.compare import Comparison
from nexus_sched.sim.figures import FIGURES, Figure, Figures
from nexus_sched.sim.page_style import STYLE
from nexus_sched.sim.pictures import promises, responses, scatter, service_times, utilisation
from nexus_sched.sim.policies import BASELINE, ORACLE
from nexus_sched.sim.summary import half_widths, means
from nexus_sched.sim.table import CAPTIONS, full_label, said
from nexus_sched.version import VERSION

STYLES = tuple(f"s{number}" for number in range(8))


def write_report(comparison: Comparison, path: Path, command: str) -> None:
    """Write the page. `command` is what made it. Raises `InvalidInput` if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(_page(comparison, command)) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error


def _page(comparison: Comparison, command: str) -> Iterator[str]:
    found = {name: (means(runs), half_widths(runs)) for name, runs in comparison.figures.items()}
    styles = {name: STYLES[number % len(STYLES)] for number, name in enumerate(comparison.figures)}
    title = f"Policies compared: {comparison.scenario}"
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{escape(title)}</h1>"
    yield (
        f"<p>{comparison.tasks:,} tasks on {comparison.workers:,} workers, simulated with {comparison.seeds} "
        f"seed{'s' if comparison.seeds > 1 else ''}; every policy ran the same tasks. Pictures show the first seed.</p>"
    )
    yield from _headlines({name: mean for name, (mean, _) in found.items()})
    yield from _responses(comparison, styles)
    yield from _tables(found, styles)
    yield from _utilisation(comparison, styles)
    yield from _predictions(comparison, styles)
    yield f"<h2>What made this page</h2><pre>{escape(command)}</pre><p>nexus-sched {escape(VERSION)}</p>"
    yield "</main></body></html>"


def _headlines(found: Mapping[str, Figures]) -> Iterator[str]:
    """What the first policy brings, in large print."""
    name = next(iter(found))
    ours = found[name]
    tiles = [("mean response", _text("response_s.mean", ours), _beside("response_s.mean", ours, found))]
    tiles.append(("p99", _text("response_s.p99", ours), _beside("response_s.p99", ours, found)))
    tiles.append(("mean slowdown", _text("slowdown.mean", ours), _beside("slowdown.mean", ours, found)))
    if ours["gap_closed"] is not None:
        tiles.append(("gap closed", _text("gap_closed", ours), f"of the way from {BASELINE} to the {ORACLE}"))
    if ours["eta_within_25"] is not None:
        tiles.append(("ETAs within 25 %", _text("eta_within_25", ours), "of those told at submission"))
    yield f'<h2 id="first">{escape(name)}</h2><ul class="tiles" aria-labelledby="first">'
    for label, value, note in tiles:
        yield f"<li><span>{label}</span><strong>{value}</strong><small>{escape(note)}</small></li>"
    yield "</ul>"


def _text(name: str, figures: Figures) -> str:
    return next(figure for figure in FIGURES if figure.name == name).text(figures[name])


def _beside(name: str, ours: Figures, found: Mapping[str, Figures]) -> str:
    """In words, against the baseline."""
    mine, theirs = ours[name], found.get(BASELINE, {}).get(name)
    if mine is None or theirs is None or ours is found.get(BASELINE):
        return ""
    share = mine / theirs - 1.0
    return f"{abs(share) * 100.0:.0f} % {'above' if share > 0.0 else 'below'} {BASELINE}"


def _legend(styles: dict[str, str]) -> str:
    entries = "".join(
        f'<li><svg viewBox="0 0 34 10" aria-hidden="true"><path d="M1 5H33" class="line {style}"/></svg>'
        f"{escape(name)}</li>"
        for name, style in styles.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def _responses(comparison: Comparison, styles: dict[str, str]) -> Iterator[str]:
    whole, tail = responses(comparison.workload, comparison.histories, styles)
    yield f"<h2>Response times</h2>{_legend(styles)}"
    yield f'<div class="pictures wide"><figure>{whole}<figcaption>How many tasks ended within a time: further left is'
    yield f" faster.</figcaption></figure><figure>{tail}<figcaption>How many take longer: the slow ones, enlarged."
    yield "</figcaption></figure></div>"


def _tables(found: Mapping[str, tuple[Figures, Figures]], styles: dict[str, str]) -> Iterator[str]:
    yield "<h2>Figures</h2>"
    every = [mean for mean, _ in found.values()]
    for number, caption in enumerate(CAPTIONS):
        figures = [each for each in FIGURES if each.table == number and said(each, every)]
        if not figures:
            continue
        heads = "".join(f'<th scope="col">{escape(full_label(figure))}</th>' for figure in figures)
        yield f'<div class="scroll" tabindex="0" role="region" aria-label="figures {number + 1}"><table><caption>'
        yield f'{escape(caption)}</caption><thead><tr><th scope="col">policy</th>{heads}</tr></thead><tbody>'
        for name, (mean, width) in found.items():
            cells = "".join(_cell(figure, mean, width) for figure in figures)
            yield f'<tr><th scope="row"><i class="mark {styles[name]}"></i>{escape(name)}</th>{cells}</tr>'
        yield "</tbody></table></div>"


def _cell(figure: Figure, mean: Figures, width: Figures) -> str:
    half_width = width[figure.name]
    interval = ""
    if half_width is not None and half_width > 0.0:
        interval = f"<small>&plusmn;{figure.text(half_width).removesuffix(' s').removesuffix(' %')}</small>"
    return f"<td>{escape(figure.text(mean[figure.name]))}{interval}</td>"


def _utilisation(comparison: Comparison, styles: dict[str, str]) -> Iterator[str]:
    yield "<h2>How busy workers are</h2><p>Share of slot time in use, by time: the line is the mean, the band holds"
    yield ' four of five workers.</p><div class="pictures">'
    for name, history in comparison.histories.items():
        picture = utilisation(comparison.workload, history, name, styles[name])
        yield f"<figure><figcaption>{escape(name)}</figcaption>{picture}</figure>"
    yield "</div>"


def _predictions(comparison: Comparison, styles: dict[str, str]) -> Iterator[str]:
    pictures = []
    for name, history in comparison.histories.items():
        for columns, words in (
            (promises(history), "time to the end, as told at submission"),
            (service_times(history), "run time, as predicted at dispatch"),
        ):
            if columns is not None:
                label = f"{name}: {words}, against what happened"
                pictures.append(f"<figure><figcaption>{escape(name)}: {words}</figcaption>")
                pictures.append(f"{scatter(label, columns, styles[name])}</figure>")
    if pictures:
        yield "<h2>Predicted against actual</h2><p>The band is within 25 % of what happened; a dot above it was"
        yield ' predicted too long. Both scales are logarithmic.</p><div class="pictures">'
        yield from pictures
        yield "</div>"
