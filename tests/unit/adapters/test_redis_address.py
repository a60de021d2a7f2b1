from __future__ import annotations

import pytest

from nexus_sched.adapters.redis.address import Address, TlsSettings, parse_address
from nexus_sched.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address(host="localhost")),
        ("redis://localhost:7000/3", Address(host="localhost", port=7000, database=3)),
        ("redis://localhost?db=4", Address(host="localhost", database=4)),
        ("redis://:p%40ss@h", Address(host="h", password="p@ss")),
        ("redis://user:pass@[::1]:1/0", Address(host="::1", port=1, username="user", password="pass")),
        ("rediss://h:1", Address(host="h", port=1, tls=TlsSettings())),
        (
            "rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/a&ssl_certfile=/c&ssl_keyfile=/k",
            Address(host="h", tls=TlsSettings(verify=False, authorities="/a", certificate="/c", key="/k")),
        ),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix://user:pass@/run/my%20redis.sock?db=2", Address(
            path="/run/my redis.sock", database=2, username="user", password="pass")),
    ],
)  # fmt: skip
def test_address_of_a_valid_url_is_read(url: str, address: Address) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:secret@h",
        "redis://",
        "redis://:secret@",
        "redis://:secret@h:port",
        "redis://:secret@h:99999",
        "redis://:secret@h/x",
        "redis://:secret@h/-1",
        "redis://:secret@h?timeout=3",
        "unix://host/path",
        "unix://",
        "redis://:secret@[::1",
    ],
)
def test_address_of_an_invalid_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://user:secret@h:1/2", "rediss://:secret@h", "unix://:secret@/s"])
def test_address_shown_hides_credentials(url: str) -> None:
    address = parse_address(url)
    assert "secret" not in f"{address} {address!r} {[address]}"
    assert "user" not in f"{address} {address!r}"


def test_address_shown_can_be_read_again() -> None:
    for url in ("redis://h:1/2", "rediss://h:6379/0", "unix:///s?db=1", "redis://[::1]:6379/0"):
        assert str(parse_address(url)) == url


def test_address_with_unreadable_certificates_is_refused() -> None:
    with pytest.raises(InvalidInput, match="TLS files"):
        parse_address("rediss://h?ssl_ca_certs=/nonexistent/ca.pem").ssl_context()
