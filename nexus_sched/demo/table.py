"""The report as a table for people: one row per measure, round robin beside predictive."""

from __future__ import annotations

from rich.table import Table

from nexus_sched.demo.report import DemoReport, HalfReport

NOTHING = "-"
CHANGE_MIN = 0.005  # relative change below which a cell says "same"
TIMES_MIN = 5.0  # from here on a change reads better as a multiple


def render(report: DemoReport) -> Table:
    """Both halves side by side, with what changed from the first to the second."""
    table = Table(
        title=f"{report.workload} workload: {report.rate:g} tasks/s for {report.duration_s:g} s, "
        f"seed {report.seed}\n{report.workers} workers x {report.slots} slots, {report.server}",
        caption="change: round robin -> predictive; utilisation while tasks arrived",
    )
    table.add_column("")
    table.add_column("round robin", justify="right")
    table.add_column("predictive", justify="right", style="bold")
    table.add_column("change", justify="right")
    for label, before, after, change in lines(report):
        if label.startswith("-"):
            table.add_section()
        table.add_row(label.removeprefix("-"), before, after, change)
    return table


def lines(report: DemoReport) -> list[tuple[str, str, str, str]]:
    """The rows: label ("-" in front begins a section), round robin, predictive, change."""
    first, second = report.round_robin, report.predictive
    found: list[tuple[str, str, str, str]] = [
        ("tasks", str(first.submitted), str(second.submitted), ""),
        ("finished", str(first.finished), str(second.finished), ""),
        ("lost", str(first.lost), str(second.lost), ""),
        ("duplicated", str(first.duplicated), str(second.duplicated), ""),
    ]

    def add(label: str, before: float | None, after: float | None, unit: str) -> None:
        found.append((label, shown(before, unit), shown(after, unit), changed(before, after)))

    add("-wait p50", first.wait_ms.p50, second.wait_ms.p50, "ms")
    add("wait p95", first.wait_ms.p95, second.wait_ms.p95, "ms")
    add("wait p99", first.wait_ms.p99, second.wait_ms.p99, "ms")
    add("response p50", first.response_ms.p50, second.response_ms.p50, "ms")
    add("response p95", first.response_ms.p95, second.response_ms.p95, "ms")
    add("response p99", first.response_ms.p99, second.response_ms.p99, "ms")
    add("response time CV within a type", first.type_cv, second.type_cv, "")
    add("last task done after", first.makespan_s * 1_000.0, second.makespan_s * 1_000.0, "ms")
    add("-utilisation mean", first.utilisation.mean, second.utilisation.mean, "%")
    add("utilisation max - min", first.utilisation.spread, second.utilisation.spread, "%")
    add("utilisation CV", first.utilisation.cv, second.utilisation.cv, "")
    found.append(("-predictions within 25 %", within(first), within(second), ""))
    add("decision p50", first.decision_us.p50, second.decision_us.p50, "us")
    add("decision p99", first.decision_us.p99, second.decision_us.p99, "us")
    add("submit to start p50", first.submit_to_start_ms.p50, second.submit_to_start_ms.p50, "ms")
    add("submit to start p99", first.submit_to_start_ms.p99, second.submit_to_start_ms.p99, "ms")
    add("  p50 with a slot free", first.dispatch_overhead_ms.p50, second.dispatch_overhead_ms.p50, "ms")
    add("  p99 with a slot free", first.dispatch_overhead_ms.p99, second.dispatch_overhead_ms.p99, "ms")
    return found


def within(half: HalfReport) -> str:
    """Share of good predictions, with how many tasks had one if not all of them."""
    text = shown(half.predictions_within_25, "%")
    return text if half.predicted in (0, half.submitted) else f"{text} of {half.predicted}"


def shown(value: float | None, unit: str) -> str:
    """`value` in three significant digits; long times in seconds, shares in percent."""
    if value is None:
        return NOTHING
    if unit == "%":
        return f"{value * 100.0:.1f} %"
    if unit == "ms" and value >= 1_000.0:
        value, unit = value / 1_000.0, "s"
    digits = 0 if value >= 100.0 else 1 if value >= 10.0 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def changed(before: float | None, after: float | None) -> str:
    """How `after` differs from `before`, relative to it."""
    if before is None or after is None or before <= 0.0:
        return ""
    ratio = after / before
    if ratio >= TIMES_MIN:
        return f"{ratio:.0f} x more"
    if 0.0 < ratio <= 1.0 / TIMES_MIN:
        return f"{1.0 / ratio:.0f} x less"
    return "same" if abs(ratio - 1.0) < CHANGE_MIN else f"{(ratio - 1.0) * 100.0:+.0f} %"
