"""The process that runs `run_in="process"` functions: one call at a time, told over one socket.

Frames are 4 bytes of length (big endian) and a MessagePack array. The parent sends
`["run", name, codec, payload, task id, attempt, time-out in s, traceparent]` and
`["stop", task id, attempt]`; the child answers `["ready"]` once and
`["ended", outcome, run_ms, result, error, cpu_ms, memory_bytes]` per call. A reading thread stands beside the call:
it hands over a stop, and ends this process when the parent is gone, so that no child outlives its worker.
Signals of the terminal or the service manager are the parent's business.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import threading
import time
from functools import reduce
from queue import SimpleQueue
from typing import Any

import msgspec

from nexus_sched.worker.calls import Ending, call_blocking, rejected
from nexus_sched.worker.context import Context
from nexus_sched.worker.functions import TaskFunction
from nexus_sched.worker.memory import forget_peak, peak_bytes

HEAD_BYTES = 4
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


def frame(*parts: object) -> bytes:
    """One message, ready to be sent."""
    body = _encode(parts)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


class ChildProcess:
    """The child's end of the socket, and the one call it may be in."""

    def __init__(self, connection: socket.socket, places: dict[str, tuple[str, str]]) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._places = places  # task type -> (module, qualified name)
        self._functions: dict[str, TaskFunction] = {}
        self._calls: SimpleQueue[list[Any]] = SimpleQueue()
        self._context: Context | None = None

    def serve(self) -> None:
        """Take calls until the parent closes the socket."""
        self._connection.sendall(frame("ready"))
        threading.Thread(target=self._read, name="nexus-parent", daemon=True).start()
        while True:
            ending = self._call(self._calls.get())
            self._connection.sendall(frame("ended", *ending))

    def _read(self) -> None:
        while True:
            try:
                head = self._stream.read(HEAD_BYTES)
                body = self._stream.read(int.from_bytes(head, "big"))
            except OSError:
                os._exit(0)
            if len(head) < HEAD_BYTES or not body:
                os._exit(0)  # the parent is gone; nobody would hear how the call ends
            message = _decode(body)
            if message[0] == "run":
                # The context stands before the call is queued, so that a stop right behind it finds it.
                _, _, _, _, task_id, attempt, timeout_s, traceparent = message
                deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
                self._context = Context(task_id, attempt, message[1], deadline_s, traceparent)
                self._calls.put(message)
            elif self._context is not None and [self._context.task_id, self._context.attempt] == message[1:]:
                self._context.cancel()

    def _call(self, message: list[Any]) -> Ending:
        name, codec, payload = message[1:4]
        assert self._context is not None
        try:
            function = self._functions.get(name) or self._load(name)
        except BaseException as error:  # importing a module runs whatever it says
            return rejected(f"the process cannot import {name}: {type(error).__name__}: {error}")
        forget_peak()
        return call_blocking(function, codec, payload, self._context)._replace(memory_bytes=peak_bytes())

    def _load(self, name: str) -> TaskFunction:
        module, qualified = self._places[name]
        call: Any = reduce(getattr, qualified.split("."), importlib.import_module(module))
        function = TaskFunction(name, call, "process")
        function.resolve()
        self._functions[name] = function
        return function


def main(descriptor: int, places: dict[str, tuple[str, str]]) -> None:
    """Serve the parent behind this socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ChildProcess(socket.socket(fileno=descriptor), places).serve()
