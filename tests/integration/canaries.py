"""What must stay secret in every test of this folder, and where it is searched.

A canary is in the payload of every task that a `Shard` submits. Tokens and the credentials in URLs are known by their
form, whichever test made them. Searched are the logs of all processes (`Programs`), what tests log themselves (the
folder's `conftest`), what the store keeps for people of every `Shard`, every body of a refusal, every scrape, and every
span that a `Receiver` is sent. What a command prints for whoever asked may be a payload: its test reads it.
"""

from __future__ import annotations

import re

import pytest

PAYLOAD = "canary-payload-of-every-task"
SECRET = re.compile(rb"nxt_[a-z0-9-]+_[A-Za-z0-9_-]{20,}|[a-z]+://[^/\s@]*:[^/\s@]+@|" + PAYLOAD.encode())
AROUND_BYTES = 80


def secrets_in(text: str | bytes) -> list[str]:
    """Each secret in `text`, with what is around it."""
    blob = text if isinstance(text, bytes) else text.encode(errors="replace")
    return [repr(blob[max(0, found.start() - AROUND_BYTES) : found.end()]) for found in SECRET.finditer(blob)]


def search(report: pytest.TestReport) -> None:
    """Fail a test that has printed or logged a secret."""
    if found := [each for _, text in report.sections for each in secrets_in(text)]:
        report.outcome = "failed"
        report.longrepr = f"secrets were logged: {found}"
