"""The calls of `WorkerService` by name, with their messages: what a server and a client of it share.

Law: the table is the service of the generated descriptor, no call more and none less (`tests/unit/proto` holds it).
"""

from __future__ import annotations

from typing import Any

from nexus_sched.proto import worker_service_pb2 as messages

SERVICE = "nexus.sched.v1.WorkerService"
REPORT = f"/{SERVICE}/Report"
REGISTER = f"/{SERVICE}/Register"
FETCH = f"/{SERVICE}/Fetch"
STEP = f"/{SERVICE}/Step"
LEAVE = f"/{SERVICE}/Leave"

CODE_METADATA = "nexus-code"  # trailing: the stable code of the error that ended a call
POOL_METADATA = "nexus-pool"  # the pool that a call is for; the gateway's own without

MESSAGES: dict[str, tuple[Any, Any]] = {
    REPORT: (messages.ReportRequest, messages.ReportResponse),
    REGISTER: (messages.RegisterRequest, messages.RegisterResponse),
    FETCH: (messages.FetchRequest, messages.FetchResponse),
    STEP: (messages.StepRequest, messages.StepResponse),
    LEAVE: (messages.LeaveRequest, messages.LeaveResponse),
}
