"""The commands of the pages about the gateway, run as written against real processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.structure.documents import commands
from tests.structure.sources import read
from tests.structure.test_commands import Shell, server_url, shell

__all__ = ["server_url", "shell"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lines_of(page: str, name: str, shell: Shell) -> list[str]:
    (shell.directory / "quickstart_worker.py").write_text(read(Path("examples/quickstart_worker.py")))
    return commands(read(Path(f"docs/how-to/{page}.md")), name)


def test_api_page_works_as_written(shell: Shell, port: int):
    shell.set("NEXUS__HTTP__PORT", str(port))
    output = [shell.run(line.replace("8080", str(port))) for line in lines_of("use-the-api", "api", shell)]
    assert json.loads(output[3])["ok"]
    assert json.loads(output[4])["task_id"].startswith("key-")
    assert json.loads(output[5])["task_id"] == "mine"
    assert json.loads(output[6])["state"] in ("queued", "running", "succeeded")
    assert "sentence" in json.loads(output[7])
    assert len(json.loads(output[8])["workers"]) == 1
    assert json.loads(output[9])["workers_live"] == 1
    assert [json.loads(each)["in_force"] for each in output[10:13]] == [False, True, True]
    assert [line.split()[2] for line in output[13].splitlines()] == ["pool.pause", "pool.resume"]
    assert set(shell.stop().values()) == {0}


def test_audit_page_works_as_written(shell: Shell):
    output = [shell.run(line) for line in lines_of("audit-changes", "audit", shell)]
    assert [line.split()[2] for line in output[6].splitlines()] == ["worker.drain", "worker.resume", "pool.mode"]
    assert len(output[7].splitlines()) == 2
    assert set(shell.stop().values()) == {0}


def test_page_of_tokens_works_as_written(shell: Shell):
    output = [shell.run(line) for line in lines_of("secure-the-gateway", "tokens", shell)]
    assert output[0].startswith("nxt_ci_")
    assert output[0] != output[1]
    assert len(output[2].splitlines()) == 2
    assert [line.split()[2] for line in output[4].splitlines()] == ["token.create", "token.create", "token.revoke"]
