"""The gateway as a process: it starts, says whether it is well, survives its store, and is gone when told."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import Program, Programs

TIMEOUT_S = 20.0


def address_of(program: Program) -> str:
    """Where a gateway listens, once it has said it."""
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while (found := re.search(r" at (http://\S+);", program.output)) is None:
        assert time.monotonic() < give_up_at_s, program.output
        assert not program.ended(), program.output
        time.sleep(0.02)
    return found[1]


def until_status(url: str, status: int) -> httpx.Response:
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while (answer := httpx.get(url)).status_code != status:
        assert time.monotonic() < give_up_at_s, answer.text
        time.sleep(0.05)
    return answer


def test_gateway_lives_without_its_store_and_is_ready_with_it(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "health", tmp_path)
        try:
            gateway = programs.start("run", "--role", "gateway", "--set", "http.port=0")
            url = address_of(gateway)
            assert httpx.get(f"{url}/livez").json() == {"ok": True, "problems": {}}
            assert until_status(f"{url}/readyz", 200).json()["ok"]
            server.kill()
            assert "store" in until_status(f"{url}/readyz", 503).json()["problems"]
            assert httpx.get(f"{url}/livez").status_code == 200
            assert httpx.get(f"{url}/startupz").status_code == 200
            server.restart()
            until_status(f"{url}/readyz", 200)
            gateway.terminate()
            assert gateway.wait() == exit_codes.OK
        finally:
            programs.close()


def test_role_all_runs_both_and_one_that_dies_is_started_again(tmp_path: Path):
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "both", tmp_path)
        try:
            both = programs.start("run", "--role", "all", "--set", "http.port=0")
            first = address_of(both)
            assert httpx.get(f"{first}/readyz").status_code == 200
            both.kill()
            with pytest.raises(httpx.HTTPError):  # it dies with its parent
                for _ in range(200):
                    httpx.get(f"{first}/livez")
                    time.sleep(0.02)
        finally:
            programs.close()


@pytest.mark.parametrize("flags", [[], ["--insecure-no-auth"]])
def test_gateway_without_tokens_refuses_to_face_the_world(flags: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["run", "--role", "gateway", "--set", "http.host=0.0.0.0", *flags]) == exit_codes.BAD_CONFIGURATION
    assert "http.auth.tokens_file" in capsys.readouterr().err


def test_port_that_is_taken_is_told(tmp_path: Path):
    with TestServer(VALKEY, tcp=True) as server:
        assert main(["run", "--role", "gateway", "--set", f"http.port={server.port}"]) == exit_codes.CANNOT_REACH
