"""The API over TLS, opened to others: tokens are needed, plain text is refused, and files are checked at the start."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from nexus_sched.config.schema import HttpAuthSection, HttpSection
from nexus_sched.errors import ConfigInvalid
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.roles import Role
from nexus_sched.testing.gateway import gateway_config, running_gateway
from nexus_sched.testing.servers import VALKEY, TestServer
from tests.unit.gateway.grpc.certificates import Authority


@pytest.fixture(autouse=True)
def only_valkey(server: TestServer) -> None:
    if server.kind != VALKEY:
        pytest.skip("nothing of this reaches the store")


async def test_gateway_on_tls_admits_holders_of_tokens_only(server: TestServer, pool: str, tmp_path: Path):
    authority = Authority(tmp_path)
    certificate, key = authority.sign_server()
    text, row = tokens.create("ops", Role.VIEWER, tokens.now_utc(), None)
    tokens.write(tmp_path / "tokens.toml", [row])
    config = gateway_config(
        server.url,
        pool,
        http=HttpSection(tls_certificate_file=certificate, tls_key_file=key),
        http_auth=HttpAuthSection(tokens_file=str(tmp_path / "tokens.toml")),
    )
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    async with running_gateway(config) as composed:
        assert composed.http is not None
        assert composed.http.url.startswith("https://")
        async with httpx.AsyncClient(base_url=composed.http.url, verify=trusting) as client:
            assert (await client.get("/livez")).headers["strict-transport-security"] == "max-age=31536000"
            refused = await client.get("/v1/dead-letters")
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            header = {"Authorization": f"Bearer {text}"}
            assert (await client.get("/v1/dead-letters", headers=header)).status_code == 200
            assert (await client.post("/v1/pauses", headers=header, json={"reason": "no"})).status_code == 403
            tokens.write(tmp_path / "tokens.toml", [])
        plain = composed.http.url.replace("https://", "http://")
        async with httpx.AsyncClient(base_url=plain) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get("/livez")


@pytest.mark.parametrize("wrong", ["missing", "empty", "key only"])
async def test_tls_files_that_cannot_be_used_are_told_before_anything_is_served(
    server: TestServer, pool: str, tmp_path: Path, wrong: str
):
    file = tmp_path / "certificate.pem"
    if wrong != "missing":
        file.write_text("")
    http = HttpSection(tls_certificate_file=None if wrong == "key only" else str(file), tls_key_file=str(file))
    with pytest.raises(ConfigInvalid, match="tls_"):
        async with running_gateway(gateway_config(server.url, pool, http=http)):
            raise AssertionError("it serves")
