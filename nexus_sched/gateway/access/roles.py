"""The roles, and the groups of them that routes admit. A role grants exactly the routes whose group names it."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """What a token is good for."""

    VIEWER = "viewer"  # look at everything but payloads
    SUBMITTER = "submitter"  # submit tasks, and follow and cancel them
    OPERATOR = "operator"  # the above, and decide about workers, tasks and the pool
    ADMIN = "admin"  # everything
    WORKER = "worker"  # be a worker by gRPC, and nothing else
    SCRAPER = "scraper"  # read metrics, and nothing else


Group = frozenset[Role]

EVERYBODY: Group = frozenset(Role)  # also without a token: the table's open routes
LOOK: Group = frozenset((Role.VIEWER, Role.OPERATOR, Role.ADMIN))
SUBMIT: Group = frozenset((Role.SUBMITTER, Role.OPERATOR, Role.ADMIN))
FOLLOW: Group = LOOK | SUBMIT  # of tasks: those who look, and those who submit
OPERATE: Group = frozenset((Role.OPERATOR, Role.ADMIN))
ADMINISTER: Group = frozenset((Role.ADMIN,))
WORK: Group = frozenset((Role.WORKER, Role.ADMIN))
SCRAPE: Group = frozenset((Role.SCRAPER, Role.OPERATOR, Role.ADMIN))
