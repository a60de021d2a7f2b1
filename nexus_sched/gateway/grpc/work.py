"""Work through the gateway: register, fetch, step, leave. What a worker says of a task needs proof that it has it.

Every call names its worker, and only a caller that may speak for it is heard. What cannot be proven is answered as if
the task were somebody else's, which it is: a refused start, a stale completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from nexus_sched.errors import InvalidInput
from nexus_sched.gateway.grpc.inboxes import Inboxes
from nexus_sched.gateway.grpc.proofs import Given, Proofs, is_entry
from nexus_sched.model.demands import DESCRIPTION_BYTES_MAX
from nexus_sched.model.ids import check_task_id, check_worker_id
from nexus_sched.model.outcome import RESULT_BYTES_MAX, Outcome, Receipt
from nexus_sched.proto import worker_service_pb2 as messages
from nexus_sched.runtime.ports import CompletionLine, StartLine, WorkerStore

Line = TypeVar("Line", CompletionLine, StartLine)

LINES_MAX = 256
FETCH_MAX = 1_000
WAIT_MS_MAX = 30_000
ATTEMPT_MAX = 1_000_000

KINDS = {
    "": messages.INBOX_KIND_TASK,
    "stop": messages.INBOX_KIND_STOP,
    "preempt": messages.INBOX_KIND_PREEMPT,
}
OUTCOMES = {
    messages.RUN_OUTCOME_SUCCEEDED: Outcome.SUCCEEDED,
    messages.RUN_OUTCOME_FAILED: Outcome.FAILED,
    messages.RUN_OUTCOME_TIMED_OUT: Outcome.TIMED_OUT,
    messages.RUN_OUTCOME_CANCELLED: Outcome.CANCELLED,
    messages.RUN_OUTCOME_REJECTED: Outcome.REJECTED,
    messages.RUN_OUTCOME_PREEMPTED: Outcome.PREEMPTED,
}
RECEIPTS = {
    Receipt.STALE: messages.RUN_RECEIPT_STALE,
    Receipt.ACCEPTED: messages.RUN_RECEIPT_ACCEPTED,
    Receipt.REPEATED: messages.RUN_RECEIPT_REPEATED,
    Receipt.LATE: messages.RUN_RECEIPT_LATE,
    Receipt.RETURNED: messages.RUN_RECEIPT_RETURNED,
}


class Work:
    """The calls of workers that work through this gateway."""

    def __init__(self, store: WorkerStore, inboxes: Inboxes) -> None:
        self._store = store
        self._inboxes = inboxes
        self._proofs = Proofs(store)

    async def register(self, asked: messages.RegisterRequest) -> messages.RegisterResponse:
        """Announce a new incarnation."""
        check_size("offer", asked.offer, DESCRIPTION_BYTES_MAX)
        incarnation = await self._store.register(check_worker_id(asked.worker), asked.offer)
        return messages.RegisterResponse(incarnation=incarnation)

    async def fetch(self, asked: messages.FetchRequest, wait_s: float) -> messages.FetchResponse:
        """Read the inbox; waits no longer than `wait_s`."""
        worker = check_worker_id(asked.worker)
        after = asked.after or "0-0"
        if not is_entry(after):
            raise InvalidInput(f"{after[:80]!r} is no entry of an inbox")
        if asked.count > FETCH_MAX or asked.wait_ms > WAIT_MS_MAX:
            raise InvalidInput(f"at most {FETCH_MAX} entries and {WAIT_MS_MAX} ms of waiting can be asked for")
        wait_ms = min(asked.wait_ms, int(wait_s * 1e3))
        items = await self._inboxes.read(worker, after, asked.count or FETCH_MAX, wait_ms)
        self._proofs.saw(worker, items)
        return messages.FetchResponse(
            entries=[
                messages.InboxEntry(
                    entry=item.entry, kind=KINDS[item.control], task_id=item.task_id, attempt=item.attempt
                )
                for item in items
            ]
        )

    async def step(self, asked: messages.StepRequest) -> messages.StepResponse:
        """Results, next starts and sign of life."""
        worker = check_worker_id(asked.worker)
        check_size("report", asked.report, DESCRIPTION_BYTES_MAX)
        if len(asked.completions) > LINES_MAX or len(asked.starts) > LINES_MAX:
            raise InvalidInput(f"a step takes at most {LINES_MAX} completions and {LINES_MAX} starts")
        completions = [completion_of(run) for run in asked.completions]
        starts = [start_of(claim) for claim in asked.starts]
        ended = await self._proofs.hold(
            worker, [Given(run.inbox_entry, run.task_id, run.attempt) for run in completions]
        )
        begun = await self._proofs.hold(
            worker, [Given(each.inbox_entry, each.task_id, each.attempt) for each in starts]
        )
        reply = await self._store.step(
            worker, asked.incarnation, asked.report, _those(completions, ended), _those(starts, begun)
        )
        receipts, envelopes = iter(reply.receipts), iter(reply.envelopes)
        return messages.StepResponse(
            receipts=[RECEIPTS[next(receipts) if proven else Receipt.STALE] for proven in ended],
            claims=[_answer(next(envelopes) if proven else None) for proven in begun],
        )

    async def leave(self, asked: messages.LeaveRequest) -> messages.LeaveResponse:
        """Say good-bye."""
        returned = await self._store.leave(check_worker_id(asked.worker), asked.incarnation)
        return messages.LeaveResponse(returned=returned)


def completion_of(run: messages.CompletedRun) -> CompletionLine:
    """One line of a step. Raises `InvalidInput`."""
    outcome = OUTCOMES.get(run.outcome)
    if outcome is None:
        raise InvalidInput("a completed run has no outcome")
    check_size("completion", run.completion, DESCRIPTION_BYTES_MAX)
    check_size("result", run.result, RESULT_BYTES_MAX)
    task_id, attempt, entry = _checked(run.task_id, run.attempt, run.entry)
    return CompletionLine(task_id, attempt, entry, not run.again, outcome, run.completion, run.result)


def start_of(claim: messages.StartClaim) -> StartLine:
    """One line of a step. Raises `InvalidInput`."""
    return StartLine(*_checked(claim.task_id, claim.attempt, claim.entry))


def check_size(name: str, blob: bytes, most: int) -> None:
    """Raise `InvalidInput` for a document that is too large."""
    if len(blob) > most:
        raise InvalidInput(f"{name} has {len(blob)} bytes, at most {most} are read")


def _checked(task_id: str, attempt: int, entry: str) -> tuple[str, int, str]:
    if attempt > ATTEMPT_MAX:
        raise InvalidInput(f"attempt {attempt} is out of bounds")
    return check_task_id(task_id), attempt, entry


def _those(lines: Sequence[Line], wanted: Sequence[bool]) -> list[Line]:
    return [line for line, proven in zip(lines, wanted, strict=True) if proven]


def _answer(envelope: bytes | None) -> messages.ClaimAnswer:
    if envelope is None:
        return messages.ClaimAnswer(granted=False)
    return messages.ClaimAnswer(granted=True, envelope=envelope)
