"""A real Prometheus scrapes a real gateway, and the shipped rules fire; promtool holds them to their own tests."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.gateway.metrics.catalogue import METRICS
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.integration.programs import ROOT, Programs
from tests.integration.test_gateway_process import address_of

RULES = ROOT / "deploy" / "prometheus"
TIMEOUT_S = 40.0
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: pool
    authorization: {{credentials_file: "{token}"}}
    static_configs: [{{targets: ["{target}"]}}]
"""


def found(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"no {tool} in PATH (Debian: apt-get install prometheus)")
    return path


def until(look: Callable[[], bool], what: str) -> None:
    give_up_at_s = time.monotonic() + TIMEOUT_S
    while not look():
        assert time.monotonic() < give_up_at_s, what
        time.sleep(0.2)


def test_shipped_rules_pass_their_tests():
    promtool = found("promtool")
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        ran = subprocess.run([promtool, *command], cwd=RULES, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_shipped_rules_ask_for_metrics_that_exist_and_each_is_tested():
    rules, tests = ((RULES / name).read_text() for name in ("alerts.yml", "alerts_test.yml"))
    served = {metric.shown for metric in METRICS.values()}
    served |= {f"{metric.shown}_bucket" for metric in METRICS.values() if metric.kind == "histogram"}
    expressions = "\n".join(re.findall(r"expr: (.*)", rules))
    assert set(re.findall(r"nexus_sched_\w+", expressions)) <= served
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f'alertname="{alert}"' in tests, f"{alert} has no test"


def test_prometheus_scrapes_the_gateway_and_fires_a_shipped_rule(tmp_path: Path):
    prometheus, rows = found("prometheus"), tmp_path / "tokens.toml"
    text, row = tokens.create("prometheus", Role.SCRAPER, tokens.now_utc(), None)
    tokens.write(rows, [row])
    (tmp_path / "token").write_text(text)
    with TestServer(VALKEY) as server:
        programs = Programs(server.url, "measured", tmp_path)
        watching: subprocess.Popen[bytes] | None = None
        try:
            scheduler = programs.scheduler()
            gateway = programs.start(
                "run", "--role", "gateway", "--set", "http.port=0", "--set", f"http.auth.tokens_file={rows}"
            )
            target = address_of(gateway).removeprefix("http://")
            watching, url = start(prometheus, tmp_path, target)

            def value(query: str) -> str:
                result = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()["data"]["result"]
                return result[0]["value"][1] if result else ""

            until(lambda: answers(url) and value("nexus_sched_leaders") == "1", "no scrape succeeds")
            assert value('up{job="pool"}') == "1"
            assert firing(url) == set()
            scheduler.kill()
            until(lambda: firing(url) == {"NexusSchedNoScheduler"}, "the rule does not fire")
            assert httpx.get(f"http://{target}/metrics").status_code == 401
        finally:
            if watching is not None:
                watching.kill()
                watching.wait()
            programs.close()


def start(prometheus: str, folder: Path, target: str) -> tuple[subprocess.Popen[bytes], str]:
    """A Prometheus on a free port, and its address."""
    text = CONFIGURATION.format(rules=RULES / "alerts.yml", token=folder / "token", target=target)
    (folder / "prometheus.yml").write_text(text)
    port = free_port()
    process = subprocess.Popen(
        [
            prometheus,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process, f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def firing(url: str) -> set[str]:
    alerts = httpx.get(f"{url}/api/v1/alerts").json()["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
