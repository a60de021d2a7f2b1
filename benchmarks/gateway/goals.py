"""What is promised of the gateway, and where to read whether it was kept.

Rates are judged by the processor time of the gateway (what a core of it could do), latencies by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

SUBMIT_RATE = 3_000.0  # requests/s
SUBMIT_P99_MS_MAX = 20.0
BATCH_RATE = 20_000.0  # tasks/s
ETA_RATE = 500.0  # requests/s
ETA_P99_MS_MAX = 10.0
LIMIT_TOLERANCE = 0.05
OVERLOAD_MIN = 8.0  # of ten: a machine that cannot offer more proves nothing
GROWTH_MIB_MAX = 100.0
SERVED_MS_MAX = 5_000.0
SCRAPE_RATIO_MAX = 1.02


class Goal(NamedTuple):
    """One promise."""

    part: str
    words: str
    kept: Callable[[dict[str, Any]], bool]


GOALS: dict[str, Goal] = {
    "submit_per_core": Goal(
        "submit",
        f"a core takes {SUBMIT_RATE:,.0f} submissions/s",
        lambda found: found["saturated"]["per_core_s"] >= SUBMIT_RATE,
    ),
    "submit_p99": Goal(
        "submit",
        f"p99 below {SUBMIT_P99_MS_MAX:g} ms at that rate",
        lambda found: found["p99_ms"] < SUBMIT_P99_MS_MAX,
    ),
    "batch_per_core": Goal(
        "batch",
        f"a core takes {BATCH_RATE:,.0f} tasks/s in batches",
        lambda found: found["tasks_per_core_s"] >= BATCH_RATE,
    ),
    "eta_told": Goal("eta", "every answer has an estimate", lambda found: found["told"] == found["requests"]),
    "eta_p99": Goal(
        "eta",
        f"p99 below {ETA_P99_MS_MAX:g} ms with the estimate in the answer",
        lambda found: found["p99_ms"] < ETA_P99_MS_MAX,
    ),
    "limit": Goal(
        "limit",
        f"two gateways admit what is configured within {LIMIT_TOLERANCE:.0%}",
        lambda found: abs(found["admitted_share"] - 1.0) <= LIMIT_TOLERANCE and found["offered_factor"] >= OVERLOAD_MIN,
    ),
    "abuse_memory": Goal(
        "abuse",
        f"abuse costs less than {GROWTH_MIB_MAX:g} MiB",
        lambda found: max(found["growth_mib"].values()) < GROWTH_MIB_MAX,
    ),
    "abuse_others": Goal(
        "abuse",
        "others are served meanwhile, the slow are cut off, and nothing is answered with 5xx",
        lambda found: (
            set(found["served"]) == {200}
            and found["served_max_ms"] < SERVED_MS_MAX
            and found["answered_well"]
            and found["cut_off"] == found["idle"]
        ),
    ),
    "crash_once": Goal(
        "crash",
        "every task is submitted exactly once",
        lambda found: (
            found["queued"] == found["orders"]
            and not found["queued_twice"] + found["lost"] + found["unknown"]
            and found["repeats"] > 0
        ),
    ),
    "scrape_p99": Goal(
        "scrape",
        f"the scheduler's p99 moves by less than {SCRAPE_RATIO_MAX - 1.0:.0%}",
        lambda found: found["p99_ratio"] < SCRAPE_RATIO_MAX,
    ),
}
