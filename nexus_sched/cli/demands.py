"""The flags of `nexus-sched submit` for what a task asks for beyond its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

DEMANDS = Group("Demands", sort_key=50)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DemandFlags:
    """Where a task may run, whose it is, when, and how it may be repeated."""

    requires: Annotated[
        list[str],
        Parameter(
            group=DEMANDS,
            show_default=False,
            help="A condition on a worker's labels: gpu, !spot, 'zone in a,b', 'disk > 100'; with 'worth 200ms' behind "
            "it only a wish. May be repeated.",
        ),
    ] = field(default_factory=list)
    tolerates: Annotated[
        list[str],
        Parameter(
            group=DEMANDS,
            show_default=False,
            help="A taint that does not keep the task away from a worker; may be repeated.",
        ),
    ] = field(default_factory=list)
    resources: Annotated[
        list[str],
        Parameter(
            group=DEMANDS,
            show_default=False,
            help="What it needs for itself alone, such as gpu=1,memory=8GiB; may be repeated.",
        ),
    ] = field(default_factory=list)
    tenant: Annotated[
        str | None, Parameter(group=DEMANDS, help="Whose task it is: tenants share worker time fairly.")
    ] = None
    key: Annotated[str | None, Parameter(group=DEMANDS, help="What limits count, such as an account.")] = None
    affinity: Annotated[
        str | None, Parameter(group=DEMANDS, help="Tasks of one key like to run where others of it ran lately.")
    ] = None
    affinity_worth: Annotated[
        str | None, Parameter(group=DEMANDS, help="How much waiting that is worth, such as 50ms.")
    ] = None
    deadline: Annotated[
        str | None, Parameter(group=DEMANDS, help="When it should have ended, from now on, such as 5m.")
    ] = None
    strict_deadline: Annotated[
        bool, Parameter(group=DEMANDS, help="Refuse it if the deadline cannot be met.", show_default=False)
    ] = False
    delay: Annotated[str | None, Parameter(group=DEMANDS, help="Not before this long from now on, such as 10s.")] = None
    idempotent: Annotated[bool, Parameter(group=DEMANDS, help="It may run twice at once.", show_default=False)] = False
    retry: Annotated[
        Literal["never", "lost", "any"] | None,
        Parameter(
            group=DEMANDS,
            help="Whether it may run again: never, lost (if its worker was; the default) or any (also if it failed).",
        ),
    ] = None
    backoff: Annotated[
        str | None, Parameter(group=DEMANDS, help="Pause before the first retry of a failed run, doubled each time.")
    ] = None

    def options(self) -> dict[str, Any]:
        """The options of `client.submission` that were given."""
        options = {
            "requires": self.requires,
            "tolerates": [taint.strip() for text in self.tolerates for taint in text.split(",")],
            "resources": ",".join(self.resources),
            "tenant": self.tenant,
            "key": self.key,
            "affinity": self.affinity,
            "affinity_worth": self.affinity_worth,
            "deadline": self.deadline,
            "strict_deadline": self.strict_deadline,
            "delay": self.delay,
            "idempotent": self.idempotent,
            "retry": self.retry,
            "backoff": self.backoff,
        }
        return {name: value for name, value in options.items() if value}


NO_DEMANDS = DemandFlags()  # frozen, so one instance may be the default
