"""One simulated worker: the protocol of the real one, without a function to run.

It blocks on its inbox on a connection of its own and keeps one step under way at a time; what becomes ready
meanwhile goes out with the next one, completions, starts and heartbeat together. A task "runs" for no time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from struct import Struct

import msgspec

from benchmarks.throughput.tally import Tally
from nexus_sched.adapters.redis.keys import ShardKeys
from nexus_sched.adapters.redis.resp import Connection, pack
from nexus_sched.errors import StoreError
from nexus_sched.model.outcome import Completion, Outcome

INBOX_READ_COUNT = 1_000
INBOX_BLOCK_MS = 1_000
RESULT_TTL_S = 3_600

STAMP = Struct("<q")  # the payload of a task: the monotonic clock of this machine at its submission, in ns
_FACT = msgspec.msgpack.encode(Completion(run_ms=0.01))
_SUCCEEDED = Outcome.SUCCEEDED.value.encode()
_ACCEPTED = 1


class SimulatedWorker:
    """One of many. `send_step` sends one packed call and sees to it that `stepped` gets the reply."""

    def __init__(
        self,
        name: str,
        incarnation: int,
        slots: int,
        keys: ShardKeys,
        tally: Tally,
        send_step: Callable[[SimulatedWorker, bytes], None],
    ) -> None:
        self.stepped_at_s = time.monotonic()
        self._slots = slots
        self._tally = tally
        self._send_step = send_step
        self._step_head = (b"FCALL", b"nx_step", b"1", keys.meta, keys.prefix, name, incarnation, RESULT_TTL_S, b"")
        self._read_head = _read_head(keys.inbox(name))
        self._cursor = b"0-0"
        self._inbox: Connection | None = None
        self._waiting: list[tuple[bytes, bytes, bytes]] = []  # task id, attempt, inbox entry
        self._starting: list[tuple[bytes, bytes, bytes]] = []
        self._finished: list[bytes] = []  # flat: the fields of completions
        self._stepping = False

    def attach(self, inbox: Connection) -> None:
        """Begin to read the inbox over a connection whose replies go to `on_inbox`."""
        self._inbox = inbox
        self._read()

    def _read(self) -> None:
        if self._inbox is not None:
            self._inbox.write(b"%b$%d\r\n%b\r\n" % (self._read_head, len(self._cursor), self._cursor))

    def on_inbox(self, reply: list[list[object]] | StoreError | None) -> None:
        """Tasks have come, or the time for waiting is over."""
        if isinstance(reply, StoreError):
            self._tally.add_fault(str(reply))
            return
        if reply:
            entries = reply[0][1]
            assert isinstance(entries, list)
            for entry, fields in entries:
                self._waiting.append((fields[1], fields[3], entry))
            self._cursor = entries[-1][0]
            if not self._stepping:
                self.step()
        self._read()

    def step(self) -> None:
        """Send what is ready; with nothing ready it is a heartbeat."""
        if self._stepping:
            return
        self._stepping = True
        self._starting = self._waiting[: self._slots]
        del self._waiting[: self._slots]
        finished, self._finished = self._finished, []
        starts = [field for start in self._starting for field in start]
        self._send_step(self, pack((*self._step_head, len(finished) // 7, *finished, *starts)))

    def stepped(self, reply: list[object] | StoreError, now_ns: int) -> None:
        """The reply of the step under way."""
        self._stepping = False
        self.stepped_at_s = now_ns / 1e9
        if isinstance(reply, StoreError) or reply[0] != b"OK":
            self._tally.add_fault(str(reply))
            return
        receipts, envelopes = reply[1], reply[2]
        assert isinstance(receipts, list)
        assert isinstance(envelopes, list)
        if receipts:
            accepted = receipts.count(_ACCEPTED)
            self._tally.add_accepted(accepted)
            if accepted != len(receipts):
                self._tally.add_fault(f"receipts {receipts}")
        for (task_id, attempt, entry), envelope in zip(self._starting, envelopes, strict=True):
            if envelope is None:
                self._tally.add_fault(f"start of {task_id!r} refused")
                continue
            self._tally.add_start((now_ns - STAMP.unpack_from(envelope, len(envelope) - 8)[0]) / 1e6)
            self._finished += (task_id, attempt, entry, b"1", _SUCCEEDED, _FACT, b"")
        if self._finished or self._waiting:
            self.step()


def _read_head(key: bytes) -> bytes:
    """Everything of the reading command but its last argument, the cursor."""
    arguments = (b"XREAD", b"COUNT", INBOX_READ_COUNT, b"BLOCK", INBOX_BLOCK_MS, b"STREAMS", key, b"")
    return pack(arguments).removesuffix(b"$0\r\n\r\n")
