"""The one table of routes and who may use them. What is not in it is refused, and a test finds what is missing."""

from __future__ import annotations

from nexus_sched.gateway.access.roles import EVERYBODY, SCRAPE, WORK, Group

# (method, path as it is declared) -> who
HTTP_ROUTES: dict[tuple[str, str], Group] = {
    ("GET", "/livez"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/startupz"): EVERYBODY,
    ("GET", "/openapi.json"): EVERYBODY,
    ("GET", "/metrics"): SCRAPE,
}

# full name of the method -> who; health and reflection are everybody's
GRPC_METHODS: dict[str, Group] = {
    "/nexus.sched.v1.WorkerService/Report": WORK,
    "/nexus.sched.v1.WorkerService/Register": WORK,
    "/nexus.sched.v1.WorkerService/Fetch": WORK,
    "/nexus.sched.v1.WorkerService/Step": WORK,
    "/nexus.sched.v1.WorkerService/Leave": WORK,
}

# Answered without looking at who asks.
OPEN_PATHS = frozenset(path for (_, path), group in HTTP_ROUTES.items() if group is EVERYBODY)
