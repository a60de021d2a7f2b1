"""Workers of unequal speed: each has a factor per task type, by which its runs take longer or shorter.

A factor is the product of two. The *class* factor comes from the machine class and differs by task type,
so that types rank the classes differently and no single speed describes a worker. The *worker* factor is
log-normal. It is drawn by quantile, not at random: every seed has the same set of speeds, in another
order, so figures of two seeds are comparable.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from msgspec import Struct

# Spread of the logarithm of worker speeds, as in the simulations that the placement rules come from
# (1000 workers, log-normal speeds). The measured virtual machines (Azure vm-noise-data, factor of each
# machine against its class) lie on both sides: 0.002 to 0.034 in three classes, 0.49 in the fourth.
WORKER_SIGMA = 0.35


class WorkerProfile(Struct, frozen=True):
    """One worker of the fleet."""

    name: str
    worker_class: str
    factors: dict[str, float]  # task type -> by what its nominal duration is multiplied here


def make_fleet(
    count: int, class_factors: Mapping[str, Mapping[str, float]], seed: int, sigma: float = WORKER_SIGMA
) -> list[WorkerProfile]:
    """`count` workers, dealt to the classes in turn.

    `class_factors` maps class -> task type -> factor; every class names the same types.
    """
    spread = NormalDist(0.0, sigma) if sigma > 0 else None
    speeds = [1.0 if spread is None else math.exp(spread.inv_cdf((rank + 0.5) / count)) for rank in range(count)]
    random.Random(f"{seed}:fleet").shuffle(speeds)
    classes = sorted(class_factors)
    return [
        WorkerProfile(
            name=f"w-{index + 1:03d}",
            worker_class=classes[index % len(classes)],
            factors={
                task_type: speed * factor for task_type, factor in class_factors[classes[index % len(classes)]].items()
            },
        )
        for index, speed in enumerate(speeds)
    ]


def mean_factors(fleet: Sequence[WorkerProfile]) -> dict[str, float]:
    """Task type -> mean factor over all workers: what a task costs if workers take turns."""
    return {
        task_type: math.fsum(worker.factors[task_type] for worker in fleet) / len(fleet)
        for task_type in fleet[0].factors
    }
