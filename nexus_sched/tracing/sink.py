"""Sends spans by OTLP over HTTP, from a thread of its own. Whoever has a span never waits, and rather loses it.

OpenTelemetry is loaded when the first sink is opened: it is the extra `otel`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from nexus_sched.errors import ConfigInvalid
from nexus_sched.tracing.span import Span

WAITING_MAX = 10_000
BATCH_MAX = 512
GATHER_S = 0.2
TIMEOUT_S = 5.0


class SpanSink:
    """One way to a collector. `offer` from anywhere; `close` sends what waits, within a bounded time."""

    def __init__(self, endpoint: str, service: str, headers: Mapping[str, str] | None = None) -> None:
        if find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter.otlp") is None:
            raise ConfigInvalid(["`tracing.endpoint` needs OpenTelemetry: install nexus-sched[otel]"])
        self._endpoint, self._service, self._headers = endpoint, service, dict(headers or {})
        self._waiting: queue.Queue[Span | None] = queue.Queue(WAITING_MAX)
        self.offered = 0
        self.lost = 0  # no room, or the collector did not take them
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def offer(self, span: Span) -> None:
        """Send it some time soon, if there is room."""
        self.offered += 1
        try:
            self._waiting.put_nowait(span)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Send what waits. Blocks, for a few seconds at most."""
        try:
            self._waiting.put(None, timeout=TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(2 * TIMEOUT_S)

    def _run(self) -> None:
        from nexus_sched.tracing.otlp import Exporter

        exporter = Exporter(self._endpoint, self._service, self._headers, TIMEOUT_S)
        while True:
            batch, ended = self._gathered()
            if batch and not exporter.send(batch):
                self.lost += len(batch)
            if ended:
                exporter.close()
                return

    def _gathered(self) -> tuple[list[Span], bool]:
        """What comes in within a moment, and whether that was the last."""
        batch: list[Span] = []
        first = self._waiting.get()
        while first is not None:
            batch.append(first)
            if len(batch) >= BATCH_MAX:
                return batch, False
            try:
                first = self._waiting.get(timeout=GATHER_S)
            except queue.Empty:
                return batch, False
        return batch, True


def read_headers(path: str | None) -> dict[str, str]:
    """Headers from a file, `name: value` a line. Raises `ConfigInvalid`."""
    if path is None:
        return {}
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid([f"`tracing.headers_file`: {path} cannot be read: {type(error).__name__}"]) from None
    headers = {}
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigInvalid([f"`tracing.headers_file`: line {number} is not `name: value`"])
        headers[name.strip()] = value.strip()
    return headers
