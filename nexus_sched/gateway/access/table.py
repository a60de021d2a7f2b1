"""The one table of routes and who may use them. What is not in it is refused, and a test finds what is missing."""

from __future__ import annotations

from nexus_sched.gateway.access.roles import ADMINISTER, EVERYBODY, FOLLOW, LOOK, OPERATE, SCRAPE, SUBMIT, WORK, Group

# (method, path as it is declared) -> who
HTTP_ROUTES: dict[tuple[str, str], Group] = {
    ("GET", "/livez"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/startupz"): EVERYBODY,
    ("GET", "/openapi.json"): EVERYBODY,
    ("GET", "/metrics"): SCRAPE,
    ("POST", "/v1/tasks"): SUBMIT,
    ("POST", "/v1/tasks:batch"): SUBMIT,
    ("GET", "/v1/tasks/{task_id}"): FOLLOW,
    ("DELETE", "/v1/tasks/{task_id}"): SUBMIT,
    ("GET", "/v1/tasks/{task_id}/explain"): FOLLOW,
    ("POST", "/v1/tasks/{task_id}/boost"): OPERATE,
    ("POST", "/v1/tasks/{task_id}/reassign"): OPERATE,
    ("POST", "/v1/tasks/{task_id}/retry"): OPERATE,
    ("GET", "/v1/eta"): FOLLOW,
    ("GET", "/v1/workers"): LOOK,
    ("GET", "/v1/workers/{worker}"): LOOK,
    ("POST", "/v1/workers/{worker}/cordon"): OPERATE,
    ("POST", "/v1/workers/{worker}/drain"): OPERATE,
    ("POST", "/v1/workers/{worker}/resume"): OPERATE,
    ("POST", "/v1/workers/{worker}/evict"): OPERATE,
    ("POST", "/v1/workers/{worker}/breaker"): OPERATE,
    ("GET", "/v1/stats"): LOOK,
    ("GET", "/v1/stream"): LOOK,
    ("GET", "/v1/mode"): LOOK,
    ("PUT", "/v1/mode"): OPERATE,
    ("POST", "/v1/pauses"): OPERATE,
    ("DELETE", "/v1/pauses"): OPERATE,
    ("GET", "/v1/overrides"): LOOK,
    ("POST", "/v1/overrides"): OPERATE,
    ("DELETE", "/v1/overrides"): OPERATE,
    ("GET", "/v1/predictors"): LOOK,
    ("PUT", "/v1/predictors/active"): OPERATE,
    ("PUT", "/v1/predictors/shadow"): OPERATE,
    ("GET", "/v1/dead-letters"): LOOK,
    ("POST", "/v1/dead-letters:redrive"): OPERATE,
    ("POST", "/v1/dead-letters:purge"): OPERATE,
    ("GET", "/v1/config"): OPERATE,
    ("POST", "/v1/config:reload"): ADMINISTER,
    ("GET", "/v1/audit"): OPERATE,
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
