"""Writes the reference page of metrics from the table: `python -m nexus_sched.gateway.metrics.reference`."""

from __future__ import annotations

from nexus_sched.gateway.metrics.catalogue import METRICS
from nexus_sched.model.tallies import TYPES_MAX

_HEAD = f"""# Metrics

Every gateway serves them at `/metrics` (role scraper), for all shards of its pool together. Scrape each gateway, and
use `max` over gateways, not `sum`: they all see the same pool. Only those that begin with `nexus_sched_grpc_` are a
gateway's own.

No metric has a label for workers. Task types have one as long as there are no more than {TYPES_MAX}; the rest are
`other`. Buckets of histograms double. Counters go on when another scheduler takes over, and begin anew with a gateway.

The level of an interval is the share of runs that a prediction said would be no longer (0.5, 0.8, 0.95).

| name | kind | labels | meaning |
|---|---|---|---|
"""


def render() -> str:
    """The page."""
    rows = [
        (f"`{metric.shown}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), _cell(metric.help))
        for metric in METRICS.values()
    ]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
